//! Proves that a program with the library, unwinding and threads runs in wine.

fn main() {
    let caught = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(1))).is_err();
    let map: std::collections::HashMap<_, _> = [(1, 2)].into();
    assert!(caught && map[&1] == 2);
    let hello = std::thread::spawn(|| println!("hello from {}", std::env::consts::OS));
    hello.join().unwrap();
}
