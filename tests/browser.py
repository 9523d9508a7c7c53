"""A Chromium without a window, driven by its own debugging protocol over a pair of pipes.

Neither a driver nor a package is needed, and nothing listens on a port. See
https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 60
"""The longest that one answer may take."""

FLAGS = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    # draws WebGL on the processor, where a machine has no graphics
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--metrics-recording-only",
    "--mute-audio",
    "--hide-scrollbars",
]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"

# Chromium reads commands from descriptor 3 and writes answers to descriptor 4; the pipes may have
# these very numbers, so they are moved out of the way first.
_WITH_PIPES = (
    "import fcntl, os, sys\n"
    "far = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]\n"
    "os.dup2(far[0], 3)\n"
    "os.dup2(far[1], 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)


def find() -> str | None:
    """Path of a Chromium, ``FEATUREMILL_CHROMIUM`` before what the system has; None without."""
    wanted = os.environ.get("FEATUREMILL_CHROMIUM")
    found = [shutil.which(name) for name in ([wanted] if wanted else [*_NAMES, _MAC])]
    return next((path for path in found if path), None)


class Page:
    """One tab; what went wrong in it and what it asked the network for is kept."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self.browser, self.session = browser, session
        self.errors: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command to this tab; its result."""
        return self.browser.call(method, self.session, **params)

    def heard(self, method: str, params: dict[str, Any]) -> None:
        """Keep what an event tells."""
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            thrown = details.get("exception", {}).get("description", "")
            self.errors.append(f"{details['text']} {thrown}")
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(str([item.get("value") for item in params["args"]]))

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; of a promise, what it comes to."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 20) -> Any:
        """Wait until an expression is truthy, and return it."""
        return self.evaluate(
            f"""new Promise((done, give_up) => {{
              const end = performance.now() + {1000 * seconds};
              const look = () => {{
                const value = ({condition});
                if (value) done(value);
                else if (performance.now() > end) give_up(new Error("not within {seconds} s"));
                else setTimeout(look, 20);
              }};
              look();
            }})"""
        )

    def go(self, url: str) -> None:
        """Open an address, and wait until it has loaded."""
        self.call("Page.navigate", url=url)
        self.wait_for('location.href !== "about:blank" && document.readyState === "complete"')

    def look_like(self, *, scheme: str = "light", media: str = "screen") -> None:
        """Prefer a colour scheme, and show the page as on the screen or on paper."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def size(self, width: int, height: int, *, touch: bool = False) -> None:
        """Take the size of a window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)

    def mouse(self, kind: str, x: float, y: float, *, down: bool = False) -> None:
        """Tell of the mouse: ``mouseMoved``, ``mousePressed`` or ``mouseReleased``."""
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="none" if kind == "mouseMoved" and not down else "left",
            buttons=1 if down else 0,
            clickCount=0 if kind == "mouseMoved" else 1,
        )

    def hover(self, x: float, y: float) -> None:
        """Move the mouse somewhere, over a place beside it."""
        self.mouse("mouseMoved", x - 1, y - 1)
        self.mouse("mouseMoved", x, y)

    def click(self, x: float, y: float) -> None:
        """Click somewhere."""
        self.hover(x, y)
        self.mouse("mousePressed", x, y, down=True)
        self.mouse("mouseReleased", x, y)

    def click_on(self, selector: str) -> None:
        """Scroll an element into view and click its middle."""
        self.click(*self.middle(selector))

    def middle(self, selector: str) -> tuple[float, float]:
        """Middle of an element, scrolled into view, in CSS pixels of the window."""
        x, y = self.evaluate(
            f"""(() => {{
              const element = document.querySelector({json.dumps(selector)});
              element.scrollIntoView({{block: "center", behavior: "instant"}});
              const box = element.getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        return x, y

    def drag(self, corners: list[tuple[float, float]]) -> None:
        """Press the mouse at the first place, move it over the others, release it at the last."""
        self.hover(*corners[0])
        self.mouse("mousePressed", *corners[0], down=True)
        for corner in corners[1:]:
            self.mouse("mouseMoved", *corner, down=True)
        self.mouse("mouseReleased", *corners[-1])

    def type(self, text: str) -> None:
        """Put text where the focus is."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """Press and release a key, by its name and its number in old events."""
        named = {"key": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named | {"text": ""})

    def close(self) -> None:
        """Close the tab."""
        self.call("Page.close")

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write a picture (by its suffix a PNG or a JPEG) of the window or of the whole page."""
        kind = {"format": "jpeg", "quality": 80} if path.suffix == ".jpg" else {"format": "png"}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **kind)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, path: Path) -> None:
        """Print the page to a file."""
        printed = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(printed["data"]))


class Browser:
    """A running Chromium."""

    def __init__(self, process: subprocess.Popen[bytes], commands: int, answers: int) -> None:
        self._process, self._commands, self._answers = process, commands, answers
        self._number, self._unread = 0, b""
        self._pages: dict[str, Page] = {}

    def open(self, url: str, *, width: int = 1280, height: int = 900) -> Page:
        """Open an address in a new tab, and wait until it has loaded."""
        page = self.blank(width, height)
        page.go(url)
        return page

    def blank(self, width: int = 1280, height: int = 900) -> Page:
        """Open a tab that shows nothing yet."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.size(width, height)
        page.look_like()
        return page

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command; its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            heard = self._next()
            if heard.get("id") == self._number:
                if "error" in heard:
                    raise RuntimeError(f"{method}: {heard['error']['message']}")
                result: dict[str, Any] = heard["result"]
                return result
            page = self._pages.get(heard.get("sessionId", ""))
            if page and "method" in heard:
                page.heard(heard["method"], heard["params"])

    def close(self) -> None:
        """End the browser."""
        if self._process.poll() is None:
            self.call("Browser.close")
        self._process.wait(SECONDS)
        os.close(self._commands)
        os.close(self._answers)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0, end - time.monotonic()))
            data = os.read(self._answers, 1 << 20) if ready else b""
            if not data:
                raise RuntimeError("Chromium gave no answer" if not ready else "Chromium ended")
            self._unread += data
        message, _, self._unread = self._unread.partition(b"\0")
        heard: dict[str, Any] = json.loads(message)
        return heard


@contextmanager
def chromium(executable: str, profile: Path) -> Iterator[Browser]:
    """Start a Chromium on an empty profile, and end it."""
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    pipes = [str(to_browser), str(from_browser)]
    start = [sys.executable, "-c", _WITH_PIPES, *pipes]
    process = subprocess.Popen(
        [*start, executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(to_browser, from_browser),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile)},
    )
    os.close(to_browser)
    os.close(from_browser)
    browser = Browser(process, commands, answers)
    try:
        yield browser
    finally:
        browser.close()
