import type { BotView } from '../../contract/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
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

/** The bot runner's jobs: each is one call of `Bots`. The job that starts a bot bears the id of its run. */
export class Jobs {
  readonly #bots: Bots
  readonly #engine: EngineFace
  readonly #kept = new Map<string, { of: BotOwner; answer: JobAnswer }>()

  constructor(bots: Bots, engine: EngineFace) {
    this.#bots = bots
    this.#engine = engine
  }

  /** What went wrong stands in the answer, but for failures of the hub itself. */
  async run(of: BotOwner, job: Job): Promise<JobAnswer> {
    if (job.action === 'start' || job.action === 'restart') return await this.#begun(of, job)
    const answer = await answered(`job_${randomText(16)}`, () => this.#done(of, job))
    if (job.action !== 'stop' || answer.status === 'failure') return this.#keep(of, answer)
    return await this.#asItIsNow(of, this.#keep(of, { ...answer, state: 'stop_bot' }))
  }

  /** Throws `not_found`. */
  async get(of: BotOwner, jobId: string): Promise<JobAnswer> {
    const kept = this.#kept.get(jobId)
    if (kept !== undefined && kept.of.owner === of.owner && kept.of.tenant === of.tenant)
      return await this.#asItIsNow(of, kept.answer)
    const run = await this.#engine.get(jobId)
    if (run?.blueprint !== 'bot' || run.owner !== of.owner || run.tenant !== of.tenant)
      throw new ErrandError('not_found', `There is no job "${jobId}".`, {
        hint: 'Jobs that start no bot are kept for a while only.',
      })
    const { status, reason, message, steps } = await this.#engine.view(jobId)
    const instance = steps[0]?.instances[0]
    const phase = instance?.attempts.at(-1)?.phase?.name
    const data = { bot_id: run.workflow_name, run_id: jobId }
    const job = { job_id: jobId, ...head, data }
    if (phase === 'running' || phase === 'restarting' || status === 'success')
      return { ...job, status: 'success', state: 'completed' }
    if (!isFinalRun(status))
      return { ...job, status: 'success', state: phase === undefined ? 'init' : 'start_bot' }
    const why = instance?.reason ?? reason ?? 'internal'
    const error = { code: jobErrorCode(why), message: withoutStep(message) ?? instance?.message ?? why }
    return { ...job, status: 'failure', state: 'failed', error }
  }

  async #begun(of: BotOwner, job: Job & { action: 'start' | 'restart' }): Promise<JobAnswer> {
    let jobId = `job_${randomText(16)}`
    const answer = await answered(jobId, async () => {
      const { warnings, ...bot } =
        job.action === 'start'
          ? await this.#bots.start(of, job.data)
          : await this.#bots.restart(of, job.data.bot_id)
      jobId = bot.run_id
      return bot
    })
    return answer.status === 'failure'
      ? this.#keep(of, answer)
      : { ...answer, job_id: jobId, state: 'start_bot' }
  }

  async #done(
    of: BotOwner,
    job: Exclude<Job, { action: 'start' | 'restart' }>,
  ): Promise<Record<string, unknown>> {
    switch (job.action) {
      case 'stop':
        return await this.#bots.stop(of, job.data.bot_id, of.owner)
      case 'status':
        return await this.#bots.get(of, job.data.bot_id)
      case 'list':
        return { bots: await this.#bots.list(of, { ended: true }) }
      case 'logs': {
        const { bot_id, tail, lines: count = tail, search } = job.data
        const run = await this.#bots.run(of, bot_id)
        const { lines } = await logTail(this.#engine, run, run.last_seq, { tail: count, search })
        return { bot_id, logs: lines.map(({ text }) => `${text}\n`).join(''), lines }
      }
    }
  }

  /** A job that stops a bot is done once all that it has stopped has ended. */
  async #asItIsNow(of: BotOwner, answer: JobAnswer): Promise<JobAnswer> {
    if (answer.state !== 'stop_bot') return answer
    const { bot_id, run_id, update } = answer.data as unknown as BotView
    for (const id of [run_id, ...(update === undefined ? [] : [update.run_id])]) {
      const run = await this.#engine.get(id)
      if (run !== undefined && !isFinalRun(run.status)) return answer
    }
    return this.#keep(of, { ...answer, state: 'completed', data: await this.#bots.get(of, bot_id) })
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
    const { code, message, hint } = error
    return {
      job_id,
      ...head,
      status: 'failure',
      state: 'failed',
      error: { code: jobErrorCode(code), message, hint },
    }
  }
}
