// How long stopping may take beyond SHUTDOWN_GRACE. Whoever is nearer to what hangs loses patience first, so that each
// can still say so.

/** The worker pool: then it ends the threads. Until then an application's onClose hooks may run. */
export const TERMINATE_AFTER_MS = 5_000
/** The process: then it ends itself. */
export const END_AFTER_MS = 8_000
/** The service manager, which is asked for so long: then it kills the process. */
export const KILL_AFTER_MS = 10_000
