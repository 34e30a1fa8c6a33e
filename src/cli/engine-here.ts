import { Engine } from '../engine/engine.ts'
import type { GivenSecrets } from '../engine/given-secrets.ts'
import type { RunStore, StepHost } from '../engine/ports.ts'
import { BoundedOutputStore } from '../hub/outputs/bounded.ts'
import { productVersion } from './product-version.ts'

export interface EngineHere {
  engine: Engine
  /** Ends what the host still carries out, and closes host and store too. */
  close(): Promise<void>
}

/** An engine in this process, for one command. A run that its store can no longer keep is given up. */
export function engineHere(
  store: RunStore,
  host: StepHost,
  secrets: GivenSecrets,
  spillDir: string,
): EngineHere {
  const outputs = new BoundedOutputStore({ spillDir })
  const engine = new Engine({
    store,
    host,
    outputs,
    runSecrets: secrets,
    admit: (run) => secrets.admit(run),
    concurrency: async () => (await import('./local-concurrency.ts')).openLocalConcurrency(),
    version: productVersion,
    onStoreFailure: 'abandon',
  })
  return {
    engine,
    async close() {
      for (const part of [host, engine, outputs, store]) await part.close()
    },
  }
}
