//! A desktop that nobody sees: a screen in memory, a session bus with the accessibility bus, a keyboard. The window is
//! read as a screen reader reads it, over AT-SPI, and used through the keyboard and AT-SPI's actions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use softhsm_tests::{
    process::{Environment, Process, run},
    screen::Screen,
};
use zbus::{
    blocking::{Connection, Proxy, connection::Builder},
    zvariant::{OwnedObjectPath, Value},
};

/// Nothing at a desk on a loaded machine takes longer.
const DEADLINE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// The desktop. Dropping it ends everything on it.
pub(crate) struct Desktop {
    accessibility: Connection,
    _screen: Screen,
    _bus: Process,
    display: String,
    environment: Environment,
}

/// An element of the window, as a screen reader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) enabled: bool,
    pub(crate) focused: bool,
    pub(crate) checked: bool,
    bus: String,
    path: OwnedObjectPath,
}

/// The roles that matter here (`AtspiRole`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    CheckBox,
    Password,
    Button,
    RadioButton,
    Entry,
    Other(u32),
}

impl Role {
    fn of(number: u32) -> Self {
        match number {
            7 => Self::CheckBox,
            40 => Self::Password,
            43 => Self::Button,
            44 => Self::RadioButton,
            61 | 79 => Self::Entry,
            other => Self::Other(other),
        }
    }
}

impl Element {
    /// What it says, wherever it keeps that.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.name.contains(words) || self.text.contains(words)
    }
}

impl Desktop {
    /// A desktop of this size.
    pub(crate) fn start(directory: &Path, width: u32, height: u32) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let runtime = directory.join("run");
        fs::create_dir_all(&runtime)?;
        let screen = Screen::start(directory, width, height)?;
        let display = screen.display().to_owned();

        let mut environment: Environment = vec![
            ("DISPLAY".into(), display.clone()),
            ("XDG_RUNTIME_DIR".into(), runtime.display().to_string()),
            ("LIBGL_ALWAYS_SOFTWARE".into(), "1".into()),
            ("HOME".into(), directory.display().to_string()),
        ];
        let socket = format!("unix:path={}", directory.join("bus").display());
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--nopidfile", "--print-address", "--address", &socket]);
        command.envs(environment.iter().cloned());
        let mut bus = Process::spawn("bus", &mut command, directory)?;
        bus.wait_for_log("unix:path=", DEADLINE)?;
        environment.push(("DBUS_SESSION_BUS_ADDRESS".into(), socket.clone()));

        let session = Builder::address(socket.as_str())?.build().context("reaching the session bus")?;
        let launcher = Proxy::new(&session, "org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus")?;
        let address: String = launcher.call("GetAddress", &()).context("starting the accessibility bus")?;
        let status = Proxy::new(&session, "org.a11y.Bus", "/org/a11y/bus", "org.a11y.Status")?;
        status.set_property("IsEnabled", Value::from(true)).context("switching accessibility on")?;
        let accessibility =
            Builder::address(address.as_str())?.build().context("reaching the accessibility bus")?;
        Ok(Self { accessibility, _screen: screen, _bus: bus, display, environment })
    }

    /// What a program on this desktop needs.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (String, String)> {
        self.environment.iter().cloned()
    }

    /// Everything that is in windows at the moment.
    pub(crate) fn elements(&self) -> Result<Vec<Element>> {
        let mut elements = Vec::new();
        let root = OwnedObjectPath::try_from("/org/a11y/atspi/accessible/root")?;
        self.collect("org.a11y.atspi.Registry", &root, 0, &mut elements)?;
        Ok(elements)
    }

    fn collect(
        &self,
        bus: &str,
        path: &OwnedObjectPath,
        depth: usize,
        into: &mut Vec<Element>,
    ) -> Result<()> {
        let accessible = self.proxy(bus, path, "org.a11y.atspi.Accessible")?;
        let children: Vec<(String, OwnedObjectPath)> = accessible.call("GetChildren", &())?;
        if depth > 0 {
            let role: u32 = accessible.call("GetRole", &())?;
            let name: String = accessible.get_property("Name")?;
            let state: Vec<u32> = accessible.call("GetState", &())?;
            let has = |bit: u32| state.first().is_some_and(|bits| bits & (1 << bit) != 0);
            let interfaces: Vec<String> = accessible.call("GetInterfaces", &())?;
            let text = if interfaces.iter().any(|interface| interface.ends_with(".Text")) {
                self.proxy(bus, path, "org.a11y.atspi.Text")?.call("GetText", &(0_i32, -1_i32))?
            } else {
                String::new()
            };
            // Bits of AtspiStateType: checked, enabled, focused.
            into.push(Element {
                role: Role::of(role),
                name,
                text,
                enabled: has(8),
                focused: has(12),
                checked: has(4),
                bus: bus.to_owned(),
                path: path.clone(),
            });
        }
        for (bus, path) in children {
            self.collect(&bus, &path, depth + 1, into)?;
        }
        Ok(())
    }

    fn proxy<'a>(
        &self,
        bus: &'a str,
        path: &'a OwnedObjectPath,
        interface: &'static str,
    ) -> Result<Proxy<'a>> {
        // Properties change with every frame.
        let builder = zbus::blocking::proxy::Builder::new(&self.accessibility);
        let builder = builder.destination(bus)?.path(path.as_ref())?.interface(interface)?;
        Ok(builder.cache_properties(zbus::proxy::CacheProperties::No).build()?)
    }

    /// Waits until an element is as wanted.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&Element) -> bool) -> Result<Element> {
        let started = Instant::now();
        loop {
            // The tree may change while it is read.
            let read = self.elements();
            let elements = read.as_deref().unwrap_or_default();
            if let Some(element) = elements.iter().find(|element| wanted(element)) {
                return Ok(element.clone());
            }
            if started.elapsed() > DEADLINE {
                let shown: Vec<String> = elements
                    .iter()
                    .map(|element| format!("{:?} {:?} {:?}", element.role, element.name, element.text))
                    .collect();
                read.context("reading the window")?;
                bail!("{what} didn't appear; there was:\n{}", shown.join("\n"));
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until these words stand anywhere.
    pub(crate) fn wait_for(&self, words: &str) -> Result<Element> {
        self.wait(words, |element| element.says(words))
    }

    pub(crate) fn says(&self, words: &str) -> Result<bool> {
        Ok(self.elements()?.iter().any(|element| element.says(words)))
    }

    /// Presses the button, or chooses the radio button or checkbox, with exactly this name.
    pub(crate) fn press(&self, name: &str) -> Result<()> {
        let pressable = |element: &Element| {
            let kind = matches!(element.role, Role::Button | Role::RadioButton | Role::CheckBox);
            kind && element.enabled && element.name == name
        };
        let element = self.wait(&format!("a button {name:?}"), pressable)?;
        let action = self.proxy(&element.bus, &element.path, "org.a11y.atspi.Action")?;
        let done: bool = action.call("DoAction", &(0_i32,)).with_context(|| format!("pressing {name:?}"))?;
        if done { Ok(()) } else { bail!("{name:?} can't be pressed") }
    }

    /// Puts the focus into the field with this label and types, as on a keyboard.
    pub(crate) fn fill(&self, label: &str, text: &str) -> Result<()> {
        let is_field =
            |element: &Element| matches!(element.role, Role::Entry | Role::Password) && element.name == label;
        let field = self.wait(&format!("a field {label:?}"), is_field)?;
        let component = self.proxy(&field.bus, &field.path, "org.a11y.atspi.Component")?;
        let _: bool = component.call("GrabFocus", &())?;
        self.wait(&format!("the focus in {label:?}"), |element| is_field(element) && element.focused)?;
        self.keys(&["ctrl+a", "Delete"])?;
        self.type_text(text)
    }

    /// Types at the keyboard.
    pub(crate) fn type_text(&self, text: &str) -> Result<()> {
        self.keyboard(&["type", "--delay", "40", text])
    }

    /// Presses keys, one after the other.
    pub(crate) fn keys(&self, keys: &[&str]) -> Result<()> {
        for key in keys {
            self.keyboard(&["key", "--delay", "30", key])?;
        }
        Ok(())
    }

    fn keyboard(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("xdotool");
        run(command.args(arguments).env("DISPLAY", &self.display)).map(drop)
    }

    /// Waits for the agent's window and gives it the keyboard, as a window manager would.
    pub(crate) fn focus_window(&self, agent: &mut Process) -> Result<()> {
        agent.wait_until("a window", DEADLINE, |_| {
            let search = ["search", "--onlyvisible", "--class", "inro-agent", "windowfocus"];
            Ok(self.keyboard(&search).is_ok())
        })
    }

    /// Keeps what is on the screen under `target/screenshots/agent`.
    pub(crate) fn picture(&self, name: &str) -> Result<PathBuf> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots/agent");
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{name}.png"));
        // A frame may still be on its way to the screen.
        thread::sleep(Duration::from_millis(300));
        let mut command = Command::new("scrot");
        run(command.args(["--silent", "--overwrite"]).arg(&path).env("DISPLAY", &self.display))?;
        Ok(path)
    }
}
