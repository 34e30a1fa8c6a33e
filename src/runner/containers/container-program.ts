import { ContainerRun, takeSpec } from './container-run.ts'
import { KILL_CONTAINER, NOT_BEGUN } from './container-spec.ts'

/** Entry point of the program that represents a container on this machine: it outlives whoever started it. */
// Exit code for any other way to end.
process.exitCode = NOT_BEGUN
const run = new ContainerRun(takeSpec(process.argv[2]!), process.argv.slice(3))
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => run.signal(name))
process.on(KILL_CONTAINER, () => run.kill())
void run.run().then((code) => process.exit(code))
