import { setImmediate } from 'node:timers/promises'
import { SOURCE_PASSWORD } from '../../blueprints/bot-source.ts'
import type { RunRecord, RunView } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { Log } from '../../platform/log.ts'
import type { Secrets } from '../secrets.ts'
import { botState, type KnownBots } from './bot-view.ts'

export interface BotSecretCleanupOptions {
  engine: EngineFace
  secrets: Secrets
  log: Log
  known: Pick<KnownBots, 'find'>
}

/**
 * Deletes secrets of bots that are no longer needed. Those of a crashed bot stay, so that it can be restarted, until
 * it is stopped, another run replaces it, or its run is removed. Those of other runs stay for a retry, until the run
 * is removed.
 */
export class BotSecretCleanup {
  readonly #options: BotSecretCleanupOptions

  constructor(options: BotSecretCleanupOptions) {
    this.#options = options
  }

  /** Drops all secrets of a run that has ended, in the background. Those of a crashed bot stay. */
  dropAll(runId: string): void {
    this.#drop(runId)
  }

  /** Drops all secrets of a run that has ended and will not be restarted unchanged. */
  async dropNow(run: Pick<RunRecord, 'run_id' | 'tenant'>): Promise<void> {
    await this.#options.secrets.dropOfRun(run)
  }

  /** Drops the image password of a run whose container is up: its image is there. */
  dropPassword(runId: string): void {
    this.#drop(runId, SOURCE_PASSWORD)
  }

  /** Drops what a stop of the hub has left. */
  async sweep(): Promise<void> {
    const { engine, secrets } = this.#options
    for (const [index, { tenant, run_id }] of (await secrets.runs()).entries()) {
      // There may be one for each stored run, and the hub serves requests meanwhile.
      if (index % 100 === 99) await setImmediate()
      const wasBeginning = engine.isBeginning(run_id)
      const run = await engine.get(run_id)
      if (wasBeginning || engine.isBeginning(run_id) || (run && run.blueprint !== 'bot')) continue
      if (run === undefined) await secrets.dropOfRun({ tenant, run_id })
      else if (isFinalRun(run.status)) {
        if (!(await this.#mayComeBack(run))) await secrets.dropOfRun({ tenant, run_id })
      } else if (pulledBy(await engine.view(run_id)) !== undefined)
        await secrets.dropOfRun({ tenant, run_id }, SOURCE_PASSWORD)
    }
  }

  async #mayComeBack(run: RunRecord): Promise<boolean> {
    if (botState(run) !== 'crashed') return false
    const { tenant, owner, workflow_name } = run
    return (await this.#options.known.find({ tenant, owner }, workflow_name))?.run_id === run.run_id
  }

  #drop(runId: string, name?: string): void {
    const { engine, secrets, log } = this.#options
    void (async () => {
      const run = await engine.get(runId)
      if (run?.blueprint !== 'bot') return
      if (name === undefined && (await this.#mayComeBack(run))) return
      await secrets.dropOfRun(run, name)
    })().catch((error: Error) =>
      log(
        `The secrets of run ${runId} could not be deleted. The hub deletes them at its next start: ${error.message}`,
        { level: 'warn', run_id: runId },
      ),
    )
  }
}

/** Returns the attempt of a bot's run that has its image, with its runner; undefined if none has reported that yet. */
export function pulledBy({ steps }: RunView): { attempt_id: string; runner: string } | undefined {
  const attempt = steps[0]?.instances[0]?.attempts.at(-1)
  if (attempt?.runner === undefined) return undefined
  const { attempt_id, runner, phase } = attempt
  return phase?.name === 'running' || phase?.name === 'restarting' ? { attempt_id, runner } : undefined
}
