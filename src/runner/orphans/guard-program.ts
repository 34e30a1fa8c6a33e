import { guardTimes } from './time-guard.ts'

/** Entry point of the program that enforces time limits while a runner is away. */
void guardTimes({ folder: process.argv[2]!, graceMs: 5_000, everyMs: 2_000 })
