import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { DataAsk } from '../../contract/bots/bot-data.ts'
import { ErrandError, type ErrorCode, errorStatus } from '../../contract/errors.ts'
import type { WorkspaceQuery } from '../../contract/runs/workspace-queries.ts'
import type { RunnerAnswer, RunnerAsk } from '../../contract/tasks/pool-ask.ts'
import { within } from '../../platform/races.ts'
import type { TenantRunner } from '../../stores/accounts.ts'
import { type RunnerKey, runnerKey } from './matching.ts'
import type { Runner } from './roster.ts'
import type { RunnerLink } from './runner-link.ts'

interface PendingAsk {
  link: RunnerLink
  tenant: string
  /** Ends the wait with the answer, its body or an error. */
  settle(with_: RunnerAnswer | Readable | ErrandError): void
}

/** Asks runners for what only they know or have. An answer arrives over the link that was asked, or not at all. */
export class RunnerQueries {
  readonly #runners: ReadonlyMap<RunnerKey, Runner>
  readonly #pending = new Map<string, PendingAsk>()

  constructor(runners: ReadonlyMap<RunnerKey, Runner>) {
    this.#runners = runners
  }

  /** Asks and returns the answer. Throws the error that the runner reports, or `unavailable`. */
  async answer(of: TenantRunner, ask: RunnerAsk, withinMs: number): Promise<RunnerAnswer> {
    const settled = await this.#answerOf(of, ask, withinMs)
    if ('exists' in settled) return settled
    throw new ErrandError('internal', `Runner "${of.id}" sent a body that was not requested.`)
  }

  /** Asks and returns the bytes as they arrive. Throws the error that the runner reports, or `unavailable`. */
  async body(of: TenantRunner, ask: DataAsk | WorkspaceQuery, withinMs: number): Promise<Readable> {
    const settled = await this.#answerOf(of, ask, withinMs)
    if (!('exists' in settled)) return settled
    throw new ErrandError('internal', `Runner "${of.id}" sent no data.`)
  }

  /** Takes an answer of the runner. Ignores it if nobody waits for it any more. */
  answered(link: RunnerLink, askId: string, answer: RunnerAnswer): void {
    const pending = this.#pending.get(askId)
    if (pending?.link !== link) return
    const { error } = answer
    if (error === undefined) pending.settle(answer)
    else {
      const code = Object.hasOwn(errorStatus, error.code) ? (error.code as ErrorCode) : 'internal'
      pending.settle(new ErrandError(code, error.message, { hint: error.hint }))
    }
  }

  /**
   * Takes the body that a runner of the tenant sends. Resolves when it was read to its end. Throws `not_found` if
   * nobody waits for it.
   */
  async take(tenant: string, askId: string, body: Readable): Promise<void> {
    const pending = this.#pending.get(askId)
    if (pending?.tenant !== tenant)
      throw new ErrandError('not_found', 'Nobody is waiting for this any more.', {
        hint: 'Send the request again.',
      })
    pending.settle(body)
    await finished(body)
  }

  closed(link: RunnerLink): void {
    for (const pending of this.#pending.values())
      if (pending.link === link)
        pending.settle(
          new ErrandError('unavailable', 'The connection to the runner was lost.', { hint: 'Try again.' }),
        )
  }

  async #answerOf(of: TenantRunner, ask: RunnerAsk, withinMs: number): Promise<RunnerAnswer | Readable> {
    const { tenant, id } = of
    const link = this.#runners.get(runnerKey(tenant, id))?.link
    if (link === undefined)
      throw new ErrandError('unavailable', `Runner "${id}" is not connected.`, {
        hint: 'Try again when it is connected. To check: errand runners',
      })
    const askId = randomUUID()
    const { promise, resolve } = Promise.withResolvers<RunnerAnswer | Readable | ErrandError>()
    this.#pending.set(askId, { link, tenant, settle: resolve })
    try {
      link.send({ type: 'ask', ask_id: askId, ask })
      const settled = await within(withinMs, promise, () => {
        throw new ErrandError('unavailable', `Runner "${id}" did not answer within ${withinMs / 1000} s.`, {
          hint: 'Try again. A runner with an earlier version of Errand must be updated first.',
        })
      })
      if (settled instanceof Error) throw settled
      return settled
    } finally {
      this.#pending.delete(askId)
    }
  }
}
