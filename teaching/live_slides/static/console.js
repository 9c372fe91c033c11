// Widgets in jupyterlab-rise 0.43.1. The widget manager of ipywidgets 8 asks the
// page for the library @jupyterlab/console, to serve widgets in consoles too.
// RISE's page has no consoles and does not carry the library, so that the manager
// is not loaded at all, and no widget is drawn (jupyterlab-contrib/rise, issue
// 126). Here is all that the manager takes from it: the name of a service that
// it can do without. JupyterLab's own page has the real library, and keeps it.
var _JUPYTERLAB = typeof _JUPYTERLAB === "undefined" ? {} : _JUPYTERLAB;
_JUPYTERLAB["attn-course-live-slides"] = {
  init(shared) {
    const library = {
      IConsoleTracker: { name: "@jupyterlab/console:IConsoleTracker" },
    };
    shared["@jupyterlab/console"] ??= {
      "4.0.0": {
        from: "attn-course-live-slides",
        get: () => Promise.resolve(() => library),
        loaded: true,
      },
    };
  },
  get() {
    return Promise.resolve(() => ({ __esModule: true, default: [] }));
  },
};
