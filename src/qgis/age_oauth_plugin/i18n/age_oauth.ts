<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" sourcelanguage="en">
    <context>
        <name>AgeOAuth</name>
        <message>
            <source>Another version of the Python package age_oauth is in use: {}. Remove it or upgrade it, then start QGIS again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>the age-oauth program on this machine is too old: this plugin needs {} or newer</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>install the current version (README of age-oauth, section Install), then press Refresh</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>install the age-oauth program (README of age-oauth, section Install), then press Refresh</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>put the current version at the path that {} names, then press Refresh; or change the variable, and start QGIS again</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>`{}` is not the age-oauth program</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>`{}` is age-oauth {}; this plugin needs {} or newer</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>choose “Sign in as another user”</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>press “Sign in”</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>tick “Add it without asking the portal”</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>tick “Answer the Windows sign-in”</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>choose its file under “Certificate authority”</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>untick the other one first</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>the age-oauth program printed something that is not a list of connections</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Add a connection to an ArcGIS portal</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Add</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>your own short name, such as prod</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>A person signs in with a browser</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The application itself, with its client secret</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>You, as the web server in front of the portal knows you (experimental)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>An API key that you have; OAuth is safer</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>of the application that is registered in the portal</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>the date on the page of the key at the portal, such as 2027-06-30</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Paste the code that the portal shows (works everywhere)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Receive it on this machine (needs a redirect URI with a port)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>only if the portal's certificate is not known to this machine</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Answer the Windows sign-in of the web server in front of the portal (experimental)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Add it without asking the portal</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Name</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Portal URL, as in your browser</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Who the tokens are for</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Client ID</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Client secret</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Expires on</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Authorization code</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Redirect URI, as registered</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Certificate authority (file)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Certificate authority</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Certificates (*.pem *.crt *.cer);;All files (*)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>API key</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Certificate authority: choose a file, or give the whole path of one that exists.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The portal is being asked …</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Sign in to {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Starting the sign-in of {} at {} …</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Copy</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Continue</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Cancel</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>If no browser opened, open this address yourself, on any device:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Close</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Sign in to {} in the browser window that was opened.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Then paste the code that the portal shows:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>If the browser shows an error at the end, paste the address that it shows; otherwise nothing is to do:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The sign-in is being completed …</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The sign-in is being canceled …</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Test of {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The portal knows you as {}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>doctor said nothing.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>ArcGIS portals</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Connections</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Search</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Connection</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Signed in</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Until</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Add connection</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Refresh</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Sign in</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Sign in as another user</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Sign out</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Test</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Tick its box to sign QGIS in with it.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Its box is ticked. Sign in, so that its layers load.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Another user has signed in to it. Untick its box and tick it again to go on as that user.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>QGIS is signed in with it.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Choose a connection. Those with a tick sign QGIS in.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Reading the connections …</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>There are no connections on this machine yet. Add one to begin.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Signed in to {} as {}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The sign-in ends on {}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Sign out of {}? Scripts on this machine that use this connection are signed out, too.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Signed out of {}. QGIS's cache may still hold features that you have seen (Settings, Options, Network).</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The sign-in of {} ends on {}. Sign in again before that.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The sign-in of {} has ended. Its layers do not load until you sign in again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>You are not signed in to {}. Its layers do not load until you sign in.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Show</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>as the application</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>yes</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>has ended</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>no</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The API key of {} ends on {}. {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The API key of {} has ended, or the portal does not accept it. Its layers do not load until it has another one. {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Put another one where its command finds it, then say at a terminal when that ends: {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Give the connection another one, at a terminal: {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>QGIS does not answer the Windows sign-in of its web server: layers at the portal's own address do not load with this connection, those of its servers at other addresses do.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>the program cannot be looked for: {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>`{}` did not finish within {} seconds</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>the answer is longer than {} MiB</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>age-oauth was stopped before it answered</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>`{}` cannot be started: {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Title</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Type</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Owner</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Double click a service to add it to the map.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>More results</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>words, or nothing for all</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>All services</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Feature services</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Map services</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Image services</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>My organization</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Mine</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>My groups</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Everyone</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Text</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Switch a connection on first, in the tab Connections.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Searching …</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The portal names no user or organization for this connection. Choose the owner Everyone.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>You are in no group of this portal.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{} services. Double click one to add it to the map.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Nothing was found.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Switch {} on first, in the tab Connections.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>QGIS is not signed in with {} now. Try again in a moment, or untick its box and tick it again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The servers of the portal are not known yet. Try again in a moment.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{} is not on a server of this portal, so it is not opened with your sign-in.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Reading {} …</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{} was switched off meanwhile.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Layer</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>It has no layers.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{} layers. Double click one to add it to the map.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The first {} layers. Double click one to add it to the map.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Opening {} …</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Opening {} was canceled.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{} could not be opened. {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The layer {} could not be opened. {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{} was added to the map.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Opening {}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>What to do:</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
</TS>
