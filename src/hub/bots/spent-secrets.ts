import { REGISTRY_PASSWORD } from '../../blueprints/registry-password.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { Log } from '../../platform/log.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { pulledBy } from './pulled-by.ts'

export interface SpentSecretsOptions {
  engine: EngineFace
  secrets: Secrets
  log: Log
}

/** Deletes the secrets of bots that have served. */
export class SpentSecrets {
  readonly #options: SpentSecretsOptions

  constructor(options: SpentSecretsOptions) {
    this.#options = options
  }

  /** The run has ended. */
  dropAll(runId: string): void {
    this.#drop(runId)
  }

  /** The container of the run is up: its image is there. */
  dropPassword(runId: string): void {
    this.#drop(runId, REGISTRY_PASSWORD)
  }

  /** What a stop of the hub has left. `isUnderWay`: the run is being submitted. */
  async sweep(isUnderWay: (runId: string) => boolean): Promise<void> {
    const { engine, secrets } = this.#options
    for (const { tenant, run_id } of await secrets.runs()) {
      const run = await engine.get(run_id)
      if (isUnderWay(run_id)) continue
      if (run === undefined || isFinalRun(run.status)) await secrets.dropOfRun({ tenant, run_id })
      else if (pulledBy(await engine.view(run_id)) !== undefined)
        await secrets.dropOfRun({ tenant, run_id }, REGISTRY_PASSWORD)
    }
  }

  #drop(runId: string, name?: string): void {
    const { engine, secrets, log } = this.#options
    void (async () => {
      const run = await engine.get(runId)
      if (run?.blueprint === 'bot') await secrets.dropOfRun(run, name)
    })().catch((error: Error) =>
      log(
        `The secrets of run ${runId} could not be deleted; the next start of the hub does it: ${error.message}`,
        { level: 'warn', run_id: runId },
      ),
    )
  }
}
