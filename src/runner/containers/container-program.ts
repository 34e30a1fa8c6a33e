import { ContainerRun, takeSpec } from './container-run.ts'
import { KILL_CONTAINER, NOT_BEGUN } from './container-spec.ts'

/** Where the program starts that stands for a container on this machine: it outlives whoever has started it. */
// Where it ends in another way.
process.exitCode = NOT_BEGUN
const run = new ContainerRun(takeSpec(process.argv[2]!), process.argv.slice(3))
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => run.signal(name))
process.on(KILL_CONTAINER, () => run.kill())
void run.run().then((code) => process.exit(code))
