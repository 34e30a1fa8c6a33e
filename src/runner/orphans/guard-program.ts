import { guardTimes } from './time-guard.ts'

/** Where the program starts that holds a runner's attempts to their time while the runner is not there. */
void guardTimes({ folder: process.argv[2]!, graceMs: 5_000, everyMs: 2_000 })
