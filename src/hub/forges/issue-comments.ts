import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { TaskRecord } from '../../contract/tasks/task-record.ts'
import type { TaskFold } from '../../engine/tasks/evolve-task.ts'
import { issueAddress } from '../../forge/address.ts'
import { ensureComment } from '../../forge/idempotent.ts'
import { harmless, harmlessLine } from '../../forge/marks.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import type { AccountStore } from '../../stores/accounts.ts'
import { issueTaskName } from './issue-task.ts'
import type { ForgeOf } from './open-forges.ts'

type CommentedTask = Pick<
  TaskRecord,
  'id' | 'tenant' | 'owner' | 'spec_name' | 'own_id' | 'task' | 'state' | 'reason' | 'message' | 'created_at'
> & { fold: Pick<TaskFold, 'pull_request' | 'pushed'> & { follow?: TaskFold['follow'] } }

export interface IssueCommentsOptions {
  /** Returns the task, or undefined if it no longer exists. */
  get(id: string): Promise<CommentedTask | undefined>
  /** Returns the ids of the tasks that are not over. */
  open(): Promise<readonly string[]>
  forgeOf: ForgeOf
  accounts: Pick<AccountStore, 'setting' | 'setSetting'>
  /** First wait in milliseconds after a forge did not answer; doubled up to 2 minutes. Default 5 s. */
  retryMs?: number
  log: Log
}

/** Key of the setting with the ids of the tasks whose last comment may be missing. */
const SETTING = 'tasks to report to their issues'
const MAX_WAIT_MS = 2 * 60_000
const A_DAY_MS = 86_400_000
const LATER = ['forge_away', 'forge_busy', 'service_answer', 'store_failed', 'disk_full']

/**
 * Keeps one comment per task on the issue that the task was made from, and edits it as the task changes. A hub that
 * was killed leaves the rest to the next one, and a forge that is unreachable gets the comment later. A refused
 * comment fails no task.
 */
export class IssueComments {
  readonly #options: IssueCommentsOptions
  readonly #stop = new AbortController()
  /** Ids to look at, in this order. */
  readonly #changed = new Set<string>()
  /** Ids of tasks that are not over, or whose end is not reported yet; stored. */
  readonly #owed = new Set<string>()
  /** Texts that this process has written, by task. */
  readonly #texts = new Map<string, string>()
  #reporting: Promise<void> | undefined
  #isReady = false

  constructor(options: IssueCommentsOptions) {
    this.#options = options
  }

  /** Continues what the previous process has left. */
  async resume(): Promise<void> {
    const stored = await this.#options.accounts.setting(SETTING)
    for (const id of JSON.parse(stored ?? '[]') as string[]) this.#owed.add(id)
    for (const id of [...this.#owed, ...(await this.#options.open())]) this.#changed.add(id)
    this.#isReady = true
    this.#begin()
  }

  /** Schedules a look after something entered the log of this task. */
  changed(id: string): void {
    this.#changed.add(id)
    this.#begin()
  }

  /** Stops writing comments; may be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#reporting
  }

  #begin(): void {
    if (!this.#isReady || this.#stop.signal.aborted) return
    this.#reporting ??= this.#reportAll().finally(() => {
      this.#reporting = undefined
      if (this.#changed.size > 0) this.#begin()
    })
  }

  async #reportAll(): Promise<void> {
    const { retryMs: firstMs = 5_000, log } = this.#options
    const { signal } = this.#stop
    const backoff = new Backoff({ firstMs, maxMs: MAX_WAIT_MS })
    while (this.#changed.size > 0 && !signal.aborted) {
      let failed = 0
      for (const id of [...this.#changed]) {
        if (signal.aborted) return
        this.#changed.delete(id)
        try {
          await this.#report(id)
        } catch (error) {
          if (signal.aborted) return
          failed++
          this.#changed.add(id)
          log(
            `The comment on the issue of task ${id} could not be written; trying again: ${messageOf(error)}`,
            { level: 'warn' },
          )
        }
      }
      if (failed === 0) backoff.reset()
      else await sleep(backoff.next(), undefined, { signal }).catch(() => {})
    }
  }

  async #report(id: string): Promise<void> {
    const { get, forgeOf, log } = this.#options
    const { signal } = this.#stop
    const task = await get(id)
    const address = task?.task.issue === undefined ? undefined : issueAddress(task.task.issue)
    if (task === undefined || address === undefined) return
    // Other tasks may name an issue without being made from it.
    const { spec_name, task_id } = issueTaskName(address)
    if (task.spec_name !== spec_name || task.own_id !== task_id) return
    const { text, isLast } = commentOf(task)
    if (!this.#owed.has(id)) {
      this.#owed.add(id)
      await this.#keep()
    }
    if (this.#texts.get(id) !== text) {
      try {
        const forge = await forgeOf(address, task, { signal })
        const talk = { kind: 'issue', number: address.number } as const
        // The clocks of hub and forge may differ.
        const since = new Date(Date.parse(task.created_at) - A_DAY_MS).toISOString()
        await ensureComment(forge, talk, { key: `task:${id}`, body: text, since }, { signal })
      } catch (error) {
        if (!(error instanceof ErrandError) || LATER.includes(error.code)) throw error
        log(`The forge refused the comment on the issue of task ${id}: ${error.message}`, { level: 'warn' })
      }
      this.#texts.set(id, text)
    }
    if (!isLast) return
    this.#texts.delete(id)
    this.#owed.delete(id)
    await this.#keep()
  }

  #keep(): Promise<void> {
    return this.#options.accounts.setSetting(SETTING, JSON.stringify([...this.#owed]))
  }
}

/** Returns the comment for a task in its current state. `isLast` means that nothing follows by itself. */
export function commentOf({ id, state, reason, message, fold }: Omit<CommentedTask, 'task' | 'created_at'>): {
  text: string
  isLast: boolean
} {
  const { pull_request, pushed, follow } = fold
  const why = message === undefined ? '' : `\n\n${harmless(message).replace(/^/gm, '> ')}`
  const made =
    pull_request !== undefined
      ? `Pull request: ${pull_request.url}`
      : pushed && `Errand pushed the branch \`${pushed.branch}\`.`
  const texts = made === undefined ? '' : `\n\n${made}`
  const ended = follow?.stopped?.why === 'off' ? undefined : follow?.stopped
  const left =
    ended === undefined ? '' : `\n\nA person must continue from here. ${harmlessLine(ended.message)}`
  switch (state) {
    case 'in_review':
      return { text: `${made ?? 'Errand has finished this task.'}${left}`, isLast: false }
    case 'done':
      return { text: made ?? 'Errand has finished this task.', isLast: true }
    case 'no_change':
      return { text: `Errand changed nothing.${why}`, isLast: true }
    case 'failed':
      return {
        text: `Errand could not complete this task (${reason ?? 'internal'}).${why}${texts}`,
        isLast: true,
      }
    case 'canceled':
      return { text: `Errand's work on this issue was canceled.${texts}`, isLast: true }
    default:
      return { text: `Errand has created task ${id} for this issue.${texts}`, isLast: false }
  }
}
