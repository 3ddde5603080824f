//! The list of the browser's checks.

use anyhow::Result;

use super::fixture::Fixture;
use super::{
    about, access, attention, axe, batch, cancel, cors, dicom, doubt, download, element, embedded,
    fast, film, firefox, folder, growth, hostile, hosts, imports, install, kernels, kills, lessons,
    lightbox, measuring, models, module, mutations, offline, parity, pictures, quiet, race,
    reading, reasons, recovery, senses, sentence, settings, sight, slides, source, storage, tabs,
    teach, threads, vanished, visits,
};

/// A check: its name, and what it found when all is well.
pub type Check = (&'static str, fn(&Fixture) -> Result<String>);

/// In this order: the first visit fills the browser's cache, the later ones use it.
pub const CHECKS: &[Check] = &[
    ("the cpu engine equals diffusers", parity::cpu),
    ("the cpu-threads engine equals diffusers", parity::threads),
    (
        "the image of the cpu engine is the native one",
        visits::cpu_image,
    ),
    (
        "a second visit is isolated and has threads",
        threads::second_visit,
    ),
    (
        "an isolating host has threads at once",
        threads::isolated_host,
    ),
    (
        "threads that cannot start are done without",
        threads::fallback,
    ),
    (
        "embeds draw without isolation, and with it",
        threads::embeds,
    ),
    ("cancel ends the work and keeps the image", cancel::cancel),
    (
        "cancel ends within a step, also while the engine is loaded anew",
        cancel::measured,
    ),
    ("a link carries the settings", sentence::link),
    ("chips write the sentence", sentence::chips),
    ("what the model makes nothing of is said", doubt::doubt),
    ("the page speaks German", sentence::german),
    (
        "a batch is a grid, and history brings it back",
        batch::batch,
    ),
    ("a saved file says what it is", batch::save),
    (
        "a DICOM file is read by others, and begun from",
        dicom::dicom,
    ),
    ("the lightbox zooms, moves and windows", lightbox::lightbox),
    ("two images are compared", lightbox::compare),
    ("what is seen is saved", slides::seen),
    ("one press gives the same patient otherwise", teach::strip),
    ("a quiz of ten films is answered", teach::quiz),
    ("a lesson is followed and handed on", lessons::lesson),
    ("a lesson's mistakes are said in words", lessons::mistakes),
    ("two axes give a figure", teach::figure),
    ("an image forms before the first press", teach::landing),
    ("settings and the form are kept", slides::kept),
    ("another model without a network can wait", slides::away),
    ("what is drawn is in sight and in reach", sight::sight),
    ("the denoising film can be gone through", lightbox::steps),
    (
        "each step is shown unless that is not wanted",
        film::every_step,
    ),
    ("a word shows what was attended to it", attention::attention),
    ("the reader says what it sees", reading::reading),
    (
        "other seeds are drawn until the reader agrees",
        reading::verify,
    ),
    (
        "the reader refuses pictures of other things",
        reading::begin,
    ),
    ("settings are a file", settings::file),
    ("an image has the size that was chosen", settings::sizes),
    ("a picture is painted over", source::source),
    ("a picture is upright and bright", source::upright),
    ("a picture is chosen, dropped or pasted", pictures::given),
    ("everybody can use the page", access::access),
    ("axe-core finds nothing", axe::axe),
    ("who hears the page is told what goes on", senses::heard),
    ("who wants less motion sees less", senses::calm),
    ("the model and its limits are told", about::about),
    ("another page draws through the module", module::module),
    (
        "the module refuses in codes, and can be aborted",
        module::refusals,
    ),
    ("an element draws in a page of its own", element::element),
    ("a frame draws on a page of another site", embedded::frame),
    ("an element waits, and stays in its box", embedded::waits),
    ("an element comes from another site", embedded::elsewhere),
    ("the package is complete", module::packaged),
    ("fifty images need no more memory than ten", growth::growth),
    ("two tabs load and draw at once", tabs::tabs),
    (
        "after loading nothing leaves the page in a whole visit",
        quiet::quiet,
    ),
    (
        "the pictures on how it works are the model's own",
        quiet::pictures,
    ),
    ("a visit without a network works", offline::offline),
    ("the page can be installed", install::install),
    (
        "Firefox draws the native image, also without a network",
        firefox::firefox,
    ),
    ("a second visit downloads no model", visits::second_visit),
    (
        "a damaged copy in the cache is noticed",
        visits::damaged_cache,
    ),
    ("a damaged model is refused in words", visits::damaged_model),
    (
        "a download that is cut goes on where it stopped",
        download::cut_download,
    ),
    (
        "a download goes on when the network is back",
        download::network_back,
    ),
    ("a download is paused and resumed", download::pause),
    (
        "a download goes on after its tab was closed",
        download::closed_tab,
    ),
    ("a model is chosen", models::choose),
    ("the fast model is chosen with one press", fast::fast),
    ("a folder is opened as the browser can", folder::folder),
    ("a model that is none is refused in words", models::refusals),
    (
        "a manifest that cannot be is refused in words",
        hostile::manifests,
    ),
    (
        "a file without end is not read to its end",
        hostile::endless,
    ),
    (
        "a kept model that cannot be is left out and named",
        hostile::kept,
    ),
    ("a model card is text, whatever is in it", hostile::cards),
    (
        "a host that sends its start page is told from a browser",
        hosts::start_page,
    ),
    ("a page that cannot run says so, and why", hosts::cannot_run),
    ("a model comes from another site", cors::cors),
    (
        "a browser is killed at each piece of a download",
        kills::killed,
    ),
    (
        "mutated links, settings and manifests",
        mutations::mutations,
    ),
    (
        "an import into a full storage keeps what fits",
        imports::full,
    ),
    (
        "images that find no room leave those that are kept",
        imports::full_visit,
    ),
    (
        "an import that is cut off leaves nothing unnamed",
        imports::cut,
    ),
    (
        "a new version that does not arrive leaves the old one",
        imports::replaced,
    ),
    (
        "a file that is gone after it was chosen is said to be",
        vanished::vanished,
    ),
    ("models are deleted", storage::delete),
    ("a full disk is said, and does no harm", storage::quota),
    (
        "a browser that keeps nothing says so",
        storage::nothing_kept,
    ),
    (
        "a window that may keep nothing has the model in memory",
        storage::private,
    ),
    ("why the cpu computes is said in words", reasons::reasons),
    ("the gpu engine equals diffusers", parity::gpu),
    (
        "the kernels of the gpu engine equal their plain references",
        kernels::check,
    ),
    (
        "the image of the gpu engine is the native one",
        visits::gpu_image,
    ),
    (
        "the gpu engine needs the default limits only",
        visits::gpu_clamped,
    ),
    (
        "fifty images of the gpu engine need no more memory than three",
        growth::gpu,
    ),
    ("the cpu draws until the gpu is ready", race::race),
    ("who saves data has the gpu engine alone", race::saves_data),
    ("the measuring page measures the gpu", measuring::check),
    (
        "the cpu takes over from a gpu that is lost",
        recovery::lost_device,
    ),
    (
        "a gpu that gives no device is said, and the cpu draws",
        recovery::no_device,
    ),
    ("a request to another host would be seen", visits::control),
];
