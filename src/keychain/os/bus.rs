//! The connection to the D-Bus session, which works on the calling thread alone.
//!
//! The runtimes that `zbus` comes with need more than a cached token can spend: `async-io` waits
//! for the socket on a thread of its own, which wakes the caller for every answer, and `tokio`
//! brings its scheduler for several threads. One socket needs neither: a call, the connection's own
//! tasks and the wait for the socket take turns here.

use std::future::{poll_fn, Future};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use zbus::address::transport::{Transport, UnixSocket};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::connection::Builder;
use zbus::{Address, Connection};

use crate::util::lock;

/// A connection, whose calls are waited for with [`Bus::wait`].
pub(super) struct Bus {
    connection: Connection,
    link: Link,
}

/// The socket. Clones share it.
#[derive(Clone, Debug)]
struct Link {
    stream: Arc<UnixStream>,
    /// The task that waits for something to read.
    reader: Arc<Mutex<Option<Waker>>>,
    /// How long each call may take.
    timeout: Duration,
}

/// Whether a task can go on.
#[derive(Default)]
struct Runnable(AtomicBool);

impl Wake for Runnable {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Bus {
    /// Connects to the D-Bus session. `DBUS_SESSION_BUS_ADDRESS` may list several addresses as
    /// alternatives, with the preferred one first. If none of them works, the error is that of the
    /// first.
    pub(super) fn connect(addresses: Option<&str>, timeout: Duration) -> zbus::Result<Self> {
        let listed = addresses.unwrap_or_default().split(';');
        let mut listed = listed.filter(|one| !one.is_empty()).peekable();
        if listed.peek().is_none() {
            return Self::connect_to(&Address::session()?, timeout);
        }
        let mut first_error = None;
        for address in listed {
            match address
                .parse()
                .and_then(|one| Self::connect_to(&one, timeout))
            {
                Ok(bus) => return Ok(bus),
                Err(why) => first_error = first_error.or(Some(why)),
            }
        }
        Err(first_error.unwrap_or_else(|| zbus::Error::Address("there is none".into())))
    }

    fn connect_to(address: &Address, timeout: Duration) -> zbus::Result<Self> {
        let stream = open(address)?;
        stream.set_nonblocking(true)?;
        let link = Link {
            stream: Arc::new(stream),
            reader: Arc::default(),
            timeout,
        };
        // Without its internal executor, the connection starts no thread.
        let builder = Builder::socket(link.clone()).internal_executor(false);
        let connection = link.run(builder.build())??;
        Ok(Self { connection, link })
    }

    pub(super) fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Waits for the call while the connection does its work on the same thread. Where there is no
    /// answer in time, the error is [`ErrorKind::TimedOut`].
    pub(super) fn wait<T>(&self, call: impl Future<Output = T>) -> io::Result<T> {
        self.link.run(async {
            let mut call = pin!(call);
            let mut work = pin!(async {
                loop {
                    self.connection.executor().tick().await;
                }
            });
            poll_fn(|cx| match call.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(answer),
                Poll::Pending => work.as_mut().poll(cx),
            })
            .await
        })
    }
}

fn open(address: &Address) -> zbus::Result<UnixStream> {
    if let Transport::Unix(unix) = address.transport() {
        match unix.path() {
            UnixSocket::File(path) => return Ok(UnixStream::connect(path)?),
            #[cfg(target_os = "linux")]
            UnixSocket::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt;
                use std::os::unix::ffi::OsStrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes())?;
                return Ok(UnixStream::connect_addr(&address)?);
            }
            _ => {}
        }
    }
    Err(zbus::Error::Address(format!(
        "{address} is not the address of a socket on this machine"
    )))
}

impl Link {
    /// Runs `future` to its end. Whenever it cannot go on, waits for the socket.
    fn run<T>(&self, future: impl Future<Output = T>) -> io::Result<T> {
        let mut future = pin!(future);
        let runnable = Arc::new(Runnable::default());
        let waker = Waker::from(Arc::clone(&runnable));
        let mut context = Context::from_waker(&waker);
        let deadline = Instant::now().checked_add(self.timeout);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            if runnable.0.swap(false, Ordering::Acquire) {
                continue;
            }
            self.await_socket(PollFlags::IN, deadline)?;
            if let Some(reader) = lock(&self.reader).take() {
                reader.wake();
            }
        }
    }

    fn await_socket(&self, what: PollFlags, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            // A time that the system cannot express is longer than anything waits.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut sockets = [PollFd::new(&*self.stream, what)];
            match rustix::event::poll(&mut sockets, left.as_ref()) {
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Socket for Link {
    type ReadHalf = Self;
    type WriteHalf = Self;

    fn split(self) -> Split<Self, Self> {
        Split::new(self.clone(), self)
    }
}

#[async_trait::async_trait]
impl ReadHalf for Link {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        poll_fn(
            |cx| match without_interruption(|| (&*self.stream).read(buffer)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    *lock(&self.reader) = Some(cx.waker().clone());
                    Poll::Pending
                }
                read => Poll::Ready(read.map(|length| (length, Vec::new()))),
            },
        )
        .await
    }
}

#[async_trait::async_trait]
impl WriteHalf for Link {
    async fn sendmsg(&mut self, bytes: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let deadline = Instant::now().checked_add(self.timeout);
        loop {
            match without_interruption(|| (&*self.stream).write(bytes)) {
                // The bus reads slowly. There is nothing else to do meanwhile.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.await_socket(PollFlags::OUT, deadline)?;
                }
                written => return written,
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Both)
    }
}

fn without_interruption<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn silent_bus() -> (tempfile::TempDir, UnixListener, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        let address = format!("unix:path={}", path.display());
        (folder, listener, address)
    }

    #[test]
    fn rule_30_a_bus_that_answers_nothing_is_an_error() {
        let (_folder, _listener, address) = silent_bus();
        let error = Bus::connect(Some(&address), Duration::from_millis(20)).err();
        let is_timeout = |error: &zbus::Error| matches!(error, zbus::Error::InputOutput(why) if why.kind() == ErrorKind::TimedOut);
        assert!(error.as_ref().is_some_and(is_timeout), "{error:?}");
    }

    #[test]
    fn a_bus_that_closes_the_connection_is_an_error() {
        let (_folder, listener, address) = silent_bus();
        let closer = std::thread::spawn(move || drop(listener.accept()));
        assert!(Bus::connect(Some(&address), Duration::MAX).is_err());
        closer.join().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sockets_without_a_file_are_found() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("age-oauth-{}", uuid::Uuid::new_v4());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let address: Address = format!("unix:abstract={name}").parse().unwrap();
        assert!(open(&address).is_ok());
    }

    #[test]
    fn other_kinds_of_addresses_are_named() {
        let error = Bus::connect(Some("tcp:host=localhost,port=1"), Duration::MAX).err();
        let text = error.unwrap().to_string();
        assert!(text.contains("tcp:host=localhost,port=1"), "{text}");
    }
}
