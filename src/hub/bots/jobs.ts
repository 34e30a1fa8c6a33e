import { type Job, jobErrorCode } from '../../compat/jobs.ts'
import type { BotView } from '../../contract/bots/bot-api.ts'
import type { JobAnswer } from '../../contract/bots/job-api.ts'
import { ErrandError, type ErrorCode, messageOf } from '../../contract/errors.ts'
import { randomText } from '../../contract/ids.ts'
import type { RunRecord } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/api.ts'
import { BoundedMap } from '../../platform/bounded-map.ts'
import { within } from '../../platform/races.ts'
import type { BotOwner } from './bot-admission.ts'
import { botView, isUpdate, open, withoutStep } from './bot-view.ts'
import type { Bots } from './bots.ts'
import { logTail } from './log-tail.ts'

/** Number of answers in memory of jobs that neither start nor stop a bot. Losing one does no harm. */
const CACHED_ANSWERS = 1_000
/** Prefix of a stop job's id, before the id of the run. */
const STOP = 'stop_'
/**
 * Limits the open runs of one bot that are read: at most the current one, the one it replaces and the one that
 * replaces it.
 */
const MOST_RUNS = 10
const head = { blueprint: 'bot_runner' } as const

export interface JobsOptions {
  bots: Bots
  engine: EngineFace
  /** Milliseconds that a request waits for a log. After that the job continues by itself. */
  logMs: number
}

/**
 * Runs the bot runner's jobs; each is one call of `Bots`. A job that starts or stops a bot has the id of the bot's
 * run, and that run gives its state.
 */
export class Jobs {
  readonly #options: JobsOptions
  readonly #answers = new BoundedMap<string, { of: BotOwner; answer: JobAnswer }>(CACHED_ANSWERS)

  constructor(options: JobsOptions) {
    this.#options = options
  }

  /** Runs a job. The answer reports what went wrong; only failures of the hub itself are thrown. */
  async run(of: BotOwner, job: Job): Promise<JobAnswer> {
    if (job.action === 'start' || job.action === 'restart') return await this.#begun(of, job)
    const job_id = `job_${randomText(16)}`
    const working = answered(job_id, () => this.#done(of, job))
    if (job.action === 'logs') return await this.#inTime(of, working, job_id, job.data.bot_id)
    const answer = await working
    if (job.action !== 'stop' || answer.status === 'failure') return this.#keep(of, answer)
    return await this.get(of, `${STOP}${(answer.data as unknown as BotView).run_id}`)
  }

  /** Returns the answer of a job. Throws `not_found`. */
  async get(of: BotOwner, jobId: string): Promise<JobAnswer> {
    const cached = this.#answers.get(jobId)
    if (cached !== undefined && cached.of.owner === of.owner && cached.of.tenant === of.tenant)
      return cached.answer
    const isStop = jobId.startsWith(STOP)
    const run = await this.#options.engine.get(isStop ? jobId.slice(STOP.length) : jobId)
    if (run?.blueprint !== 'bot' || run.owner !== of.owner || run.tenant !== of.tenant)
      throw new ErrandError('not_found', `Job "${jobId}" not found.`, {
        hint: 'Jobs that neither start nor stop a bot are only kept for a while.',
      })
    if (isStop) return await this.#stop(of, jobId, run)
    return await this.#start(jobId, { bot_id: run.workflow_name, run_id: jobId })
  }

  /** Answers a job that stops a bot: it is done once everything it stopped has ended. */
  async #stop(of: BotOwner, job_id: string, run: RunRecord): Promise<JobAnswer> {
    const { engine } = this.#options
    const ofBot = { ...of, workflow_name: run.workflow_name, blueprint: 'bot' }
    const { runs } = await engine.list({ ...ofBot, statuses: open, limit: MOST_RUNS })
    const isOver =
      isFinalRun(run.status) && !runs.some((each) => each.replaces === run.run_id && isUpdate(each, run))
    const data = botView({ current: run }, { [run.run_id]: await engine.view(run.run_id) }, Date.now())
    const state = isOver
      ? ({ status: 'success', state: 'completed' } as const)
      : ({ status: 'running', state: 'stop_bot' } as const)
    return { job_id, ...head, ...state, data: { ...data } }
  }

  /** Answers a job that starts a bot from the state of its run: `init` until the run has a runner. */
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

  /** Answers in time. A log that takes longer is read to its end, and `get` returns it. */
  async #inTime(
    of: BotOwner,
    working: Promise<JobAnswer>,
    job_id: string,
    bot_id: string,
  ): Promise<JobAnswer> {
    const answer = await within(this.#options.logMs, working, () => 'late' as const)
    if (answer !== 'late') return this.#keep(of, answer)
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

  #keep(of: BotOwner, answer: JobAnswer): JobAnswer {
    this.#answers.set(answer.job_id, { of, answer })
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
