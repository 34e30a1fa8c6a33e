import { setTimeout as sleep } from 'node:timers/promises'
import type { BotView } from '../../contract/bot-api.ts'
import { ErrandError, type ErrorCode, messageOf } from '../../contract/errors.ts'
import { randomText } from '../../contract/random-text.ts'
import { isFinalRun } from '../../contract/status.ts'
import { type JobAnswer, jobErrorCode } from '../../dialects/jobs/job-answer.ts'
import type { Job } from '../../dialects/jobs/job-request.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { BotOwner } from './bot-owner.ts'
import { withoutStep } from './bot-view.ts'
import type { Bots } from './bots.ts'
import { logTail } from './log-tail.ts'

/** Answers of jobs that start nothing are kept for a while, in memory: nothing hangs on them. */
const KEPT_ANSWERS = 1_000
const head = { blueprint: 'bot_runner' } as const

export interface JobsOptions {
  bots: Bots
  engine: EngineFace
  /** A log is waited for so long within a request; after that the job goes on by itself. */
  logMs: number
}

/** The bot runner's jobs: each is one call of `Bots`. The job that starts a bot bears the id of its run. */
export class Jobs {
  readonly #options: JobsOptions
  readonly #kept = new Map<string, { of: BotOwner; answer: JobAnswer }>()

  constructor(options: JobsOptions) {
    this.#options = options
  }

  /** What went wrong stands in the answer, but for failures of the hub itself. */
  async run(of: BotOwner, job: Job): Promise<JobAnswer> {
    if (job.action === 'start' || job.action === 'restart') return await this.#begun(of, job)
    const job_id = `job_${randomText(16)}`
    const working = answered(job_id, () => this.#done(of, job))
    if (job.action === 'logs') return await this.#inTime(of, working, job_id, job.data.bot_id)
    const answer = await working
    if (job.action !== 'stop' || answer.status === 'failure') return this.#keep(of, answer)
    return await this.#asItIsNow(of, this.#keep(of, { ...answer, status: 'running', state: 'stop_bot' }))
  }

  /** Throws `not_found`. */
  async get(of: BotOwner, jobId: string): Promise<JobAnswer> {
    const kept = this.#kept.get(jobId)
    if (kept !== undefined && kept.of.owner === of.owner && kept.of.tenant === of.tenant)
      return await this.#asItIsNow(of, kept.answer)
    const run = await this.#options.engine.get(jobId)
    if (run?.blueprint !== 'bot' || run.owner !== of.owner || run.tenant !== of.tenant)
      throw new ErrandError('not_found', `There is no job "${jobId}".`, {
        hint: 'Jobs that start no bot are kept for a while only.',
      })
    return await this.#start(jobId, { bot_id: run.workflow_name, run_id: jobId })
  }

  /** A job that starts a bot is where its run is: `init` until that has a runner. */
  async #start(runId: string, data: Record<string, unknown>): Promise<JobAnswer> {
    const { status, reason, message, steps } = await this.#options.engine.view(runId)
    const instance = steps[0]?.instances[0]
    const attempt = instance?.attempts.at(-1)
    const phase = attempt?.phase?.name
    const job = { job_id: runId, ...head, data }
    if (phase === 'running' || phase === 'restarting' || status === 'success')
      return { ...job, status: 'success', state: 'completed' }
    if (!isFinalRun(status))
      return { ...job, status: 'running', state: attempt?.runner === undefined ? 'init' : 'start_bot' }
    const why = instance?.reason ?? reason ?? 'internal'
    const error = { code: jobErrorCode(why), message: withoutStep(message) ?? instance?.message ?? why }
    return { ...job, status: 'failure', state: 'failed', error }
  }

  async #begun(of: BotOwner, job: Job & { action: 'start' | 'restart' }): Promise<JobAnswer> {
    const { bots } = this.#options
    const refused = `job_${randomText(16)}`
    const answer = await answered(refused, async () => {
      const { warnings, ...bot } =
        job.action === 'start' ? await bots.start(of, job.data) : await bots.restart(of, job.data.bot_id)
      return bot
    })
    if (answer.status === 'failure') return this.#keep(of, answer)
    const bot = answer.data as unknown as BotView
    return await this.#start(bot.run_id, { ...bot })
  }

  /** A log that takes long is read on, and told by `get`. */
  async #inTime(
    of: BotOwner,
    working: Promise<JobAnswer>,
    job_id: string,
    bot_id: string,
  ): Promise<JobAnswer> {
    const over = new AbortController()
    const late = sleep(this.#options.logMs, 'late' as const, { ref: false, signal: over.signal })
    try {
      const answer = await Promise.race([working, late.catch(() => 'late' as const)])
      if (answer !== 'late') return this.#keep(of, answer)
    } finally {
      over.abort()
    }
    working.then(
      (answer) => this.#keep(of, answer),
      (error) => this.#keep(of, failed(job_id, 'internal', messageOf(error))),
    )
    return this.#keep(of, { job_id, ...head, status: 'running', state: 'get_logs', data: { bot_id } })
  }

  async #done(
    of: BotOwner,
    job: Exclude<Job, { action: 'start' | 'restart' }>,
  ): Promise<Record<string, unknown>> {
    switch (job.action) {
      case 'stop':
        return await this.#options.bots.stop(of, job.data.bot_id, of.owner)
      case 'status':
        return await this.#options.bots.get(of, job.data.bot_id)
      case 'list':
        return { bots: await this.#options.bots.list(of, { ended: true }) }
      case 'logs': {
        const { bot_id, tail, lines: count = tail, search } = job.data
        const run = await this.#options.bots.run(of, bot_id)
        const { lines } = await logTail(this.#options.engine, run, run.last_seq, { tail: count, search })
        return { bot_id, logs: lines.map(({ text }) => `${text}\n`).join(''), lines }
      }
    }
  }

  /** A job that stops a bot is done once all that it has stopped has ended. */
  async #asItIsNow(of: BotOwner, answer: JobAnswer): Promise<JobAnswer> {
    if (answer.state !== 'stop_bot') return answer
    const { bot_id, run_id, update } = answer.data as unknown as BotView
    for (const id of [run_id, ...(update === undefined ? [] : [update.run_id])]) {
      const run = await this.#options.engine.get(id)
      if (run !== undefined && !isFinalRun(run.status)) return answer
    }
    const ended = { status: 'success', state: 'completed' } as const
    return this.#keep(of, { ...answer, ...ended, data: await this.#options.bots.get(of, bot_id) })
  }

  #keep(of: BotOwner, answer: JobAnswer): JobAnswer {
    this.#kept.set(answer.job_id, { of, answer })
    if (this.#kept.size > KEPT_ANSWERS) this.#kept.delete(this.#kept.keys().next().value!)
    return answer
  }
}

async function answered(job_id: string, work: () => Promise<Record<string, unknown>>): Promise<JobAnswer> {
  try {
    return { job_id, ...head, status: 'success', state: 'completed', data: await work() }
  } catch (error) {
    if (!(error instanceof ErrandError) || error.status >= 500) throw error
    return failed(job_id, error.code, error.message, error.hint)
  }
}

const failed = (job_id: string, code: ErrorCode, message: string, hint?: string): JobAnswer => ({
  job_id,
  ...head,
  status: 'failure',
  state: 'failed',
  error: { code: jobErrorCode(code), message, hint },
})
