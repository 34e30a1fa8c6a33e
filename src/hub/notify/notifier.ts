import { randomBytes } from 'node:crypto'
import type { ChannelTopic, WebhookNotice } from '../../contract/channels.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import type { RunListRow, RunRecord } from '../../contract/run.ts'
import type { Log } from '../../platform/log.ts'
import type { AccountStore } from '../../stores/accounts.ts'
import type { ChannelStore, Notice, NotificationChannel } from '../../stores/sqlite/channels.ts'
import { mayAnswer } from '../approvals/approvers.ts'
import type { OutsideServiceKey, OutsideServices } from '../ops/outside-services.ts'
import type { Secrets } from '../secrets.ts'
import { failureNotice, type NoticeBody, questionNotice, testNotice } from './notice-texts.ts'
import { type ChannelValue, mailServer, NoticeSender, type SenderOptions } from './send-notice.ts'

export interface NotifierOptions extends SenderOptions {
  store: ChannelStore
  accounts: Pick<AccountStore, 'users'>
  secrets: Pick<Secrets, 'ofChannel'>
  runs: { get(runId: string): Promise<RunRecord | undefined> }
  /** Returns the hub's address for people, without a slash at its end. */
  address(): string
  /** Notes which mail servers, webhooks and topics worked and which failed. */
  outside?: Pick<OutsideServices, 'failed' | 'worked'>
  log: Log
  /** First wait in milliseconds after a failed try; doubled up to an hour. Default 5 s. */
  retryMs?: number
  /** Milliseconds after which it gives up. Default a day. */
  patienceMs?: number
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Limits the notices that a channel gets within an hour. */
const MOST_AN_HOUR = 100
/** Limits the channels that are notified at once. */
const AT_ONCE = 8
/** Milliseconds that sent notices are remembered. */
const KNOWN_MS = 30 * DAY_MS
/** Limits the events of all runs that wait to be read. */
const MOST_NEWS = 10_000

type News = { run_id: string; event: RunEvent }

/**
 * Notifies people at their channels of what needs them.
 * - A notice is stored before it is sent, and retried until the channel takes it or a day has passed.
 * - A question that is answered in the meantime is no longer sent.
 * - A channel gets each notice once, unless the hub is killed between the channel's answer and its own record of that.
 *   All tries of a notice have the same id.
 */
export class Notifier {
  readonly sender: NoticeSender
  readonly #options: NotifierOptions
  readonly #stop = new AbortController()
  readonly #sending = new Set<string>()
  readonly #news: News[] = []
  #reading: Promise<void> | undefined
  #sendingAll: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #ready = false
  #swept = 0

  constructor(options: NotifierOptions) {
    this.#options = options
    this.sender = new NoticeSender(options)
  }

  /** Takes events of a run, after their commit or read again after a start. */
  seen(run_id: string, events: readonly RunEvent[]): void {
    for (const event of events) {
      if (!isNews(event)) continue
      if (this.#news.length < MOST_NEWS) this.#news.push({ run_id, event })
      else
        this.#options.log('Too many events: notification channels do not get all notices.', {
          level: 'warn',
        })
    }
    if (this.#ready && this.#news.length > 0) this.#look()
  }

  /**
   * Starts once all open runs are read. It sends what was missed because of a kill, including runs that have failed
   * since.
   */
  async begin(failed: () => Promise<readonly RunRecord[]>): Promise<void> {
    try {
      for (const run of await failed()) await this.#failed(run)
    } catch (error) {
      this.#options.log(
        `Failures from before the start are not reported to notification channels: ${messageOf(error)}`,
        { level: 'warn' },
      )
    }
    this.#ready = true
    this.#look()
  }

  /** Sends a test at once. Throws as `NoticeSender.send` does. */
  async test(channel: NotificationChannel): Promise<void> {
    await this.#send(channel, newId(), testNotice(new Date().toISOString()))
  }

  /** Stops, and leaves unsent notices to the next start. May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    clearTimeout(this.#timer)
    await this.#reading
    await this.#sendingAll
  }

  #look(): void {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
      if (this.#news.length > 0 && !this.#stop.signal.aborted) this.#look()
    })
  }

  async #read(): Promise<void> {
    try {
      while (this.#news.length > 0 && !this.#stop.signal.aborted) {
        // Handle all events of one run together, so that a question which was answered already is not sent.
        const [{ run_id }] = this.#news as [News]
        const own = this.#news.filter((one) => one.run_id === run_id)
        await this.#readRun(
          run_id,
          own.map(({ event }) => event),
        )
        for (const one of own) this.#news.splice(this.#news.indexOf(one), 1)
      }
      this.#sendNow()
    } catch (error) {
      this.#options.log(`Notices could not be stored: ${messageOf(error)}`, {
        level: 'warn',
      })
      this.#news.length = 0
    }
  }

  async #readRun(runId: string, events: readonly RunEvent[]): Promise<void> {
    const { store, runs } = this.#options
    const over = events.some(({ type }) => type === 'run.finished')
    const questions = over ? [] : openQuestions(events)
    for (const question of answeredIn(events)) await store.answered(runId, question)
    if (over) await store.answered(runId)
    const run = questions.length > 0 || over ? await runs.get(runId) : undefined
    if (run === undefined) return
    if (over) return await this.#failed(run)
    const notified = new Set<string>()
    for (const {
      seq,
      step,
      host,
      question,
      link,
      text,
      expires_at,
      approvers,
      time,
      isApproval,
    } of questions) {
      // The instances of a step that ask at once are answered at once.
      if (notified.has(question)) continue
      notified.add(question)
      const channels = await this.#channels(run, 'needs_me', (person) =>
        isApproval && approvers !== undefined
          ? mayAnswer(approvers, person, run.owner)
          : person.name === run.owner,
      )
      const body = questionNotice(run, { step, host, question: link, text, expires_at, at: time })
      await this.#keep(channels, { run, key: `${runId} ${seq}`, question, body })
    }
  }

  async #failed(run: RunRecord): Promise<void> {
    const { run_id, status, reason, message, finished_at, parent, list_row } = run
    // The end of the parent shows what it makes of this.
    if ((status !== 'failed' && status !== 'interrupted') || parent !== undefined) return
    const channels = await this.#channels(run, 'failures', ({ name }) => name === run.owner)
    if (channels.length === 0) return
    const row = list_row === undefined ? undefined : (JSON.parse(list_row) as RunListRow)
    const failure = row?.now?.failure
    const body = failureNotice(run, {
      status,
      step: failure?.step,
      reason: failure?.reason ?? reason,
      message: failure?.message || message,
      at: finished_at ?? new Date().toISOString(),
    })
    await this.#keep(channels, { run, key: `${run_id} end`, body })
  }

  /** Returns the channels of those people of the run's tenant who fit. */
  async #channels(
    { tenant }: RunRecord,
    topic: ChannelTopic,
    fits: (person: { name: string; role: 'admin' | 'user' }) => boolean,
  ): Promise<NotificationChannel[]> {
    const { store, accounts } = this.#options
    const channels = await store.subscribed(tenant, topic)
    if (channels.length === 0) return []
    const users = new Map((await accounts.users({ tenant })).map((user) => [user.id, user]))
    return channels.filter(({ user_id }) => {
      const user = users.get(user_id)
      return user !== undefined && fits(user)
    })
  }

  async #keep(
    channels: readonly NotificationChannel[],
    { run, key, question, body }: { run: RunRecord; key: string; question?: string; body: NoticeBody },
  ): Promise<void> {
    const now = new Date()
    const notices = channels
      // A channel gets nothing from before it was added.
      .filter(({ created_at }) => created_at <= body.at)
      .map(
        ({ id: channel_id }): Notice => ({
          id: newId(),
          channel_id,
          key,
          run_id: run.run_id,
          question,
          body: JSON.stringify(body),
          created_at: now.toISOString(),
          due_at: now.toISOString(),
          tries: 0,
        }),
      )
    if (notices.length === 0) return
    const since = new Date(now.getTime() - HOUR_MS).toISOString()
    await this.#options.store.keep(notices, { since, most: MOST_AN_HOUR })
  }

  #sendNow(): void {
    if (this.#stop.signal.aborted) return
    this.#sendingAll = (this.#sendingAll ?? Promise.resolve())
      .then(() => this.#sendAll())
      .catch((error) => {
        this.#options.log(`Notices to channels are delayed: ${messageOf(error)}`, {
          level: 'warn',
        })
        this.#wake(60_000)
      })
  }

  /** Starts to send the next notice to each channel that has none in progress; no channel waits for another. */
  async #sendAll(): Promise<void> {
    const { store } = this.#options
    clearTimeout(this.#timer)
    const now = Date.now()
    if (now - this.#swept > HOUR_MS) {
      this.#swept = now
      await store.forget(new Date(now - KNOWN_MS).toISOString())
    }
    const free = AT_ONCE - this.#sending.size
    if (free <= 0 || this.#stop.signal.aborted) return
    for (const notice of await store.due(new Date(now).toISOString(), [...this.#sending], free)) {
      this.#sending.add(notice.channel_id)
      void this.#sendOne(notice).finally(() => {
        this.#sending.delete(notice.channel_id)
        this.#sendNow()
      })
    }
    const next = await store.nextDue()
    if (next !== undefined) this.#wake(Math.max(1000, Date.parse(next) - Date.now()))
  }

  #wake(ms: number): void {
    clearTimeout(this.#timer)
    if (this.#stop.signal.aborted) return
    this.#timer = setTimeout(() => this.#sendNow(), Math.min(ms, HOUR_MS))
    this.#timer.unref()
  }

  async #sendOne({ id, channel_id, body, tries, created_at }: Notice): Promise<void> {
    const { store, retryMs = 5000, patienceMs = DAY_MS, log } = this.#options
    try {
      const channel = await store.get(channel_id)
      if (channel === undefined) return
      await this.#send(channel, id, JSON.parse(body) as NoticeBody)
      await store.sent(id, new Date().toISOString())
    } catch (error) {
      const now = Date.now()
      const waitMs = Math.min(retryMs * 2 ** Math.min(tries, 20), HOUR_MS)
      const over = now + waitMs > Date.parse(created_at) + patienceMs
      const message = messageOf(error).slice(0, 500)
      const due_at = over ? undefined : new Date(now + waitMs).toISOString()
      await store
        .failed(id, { now: new Date(now).toISOString(), message, due_at })
        .catch((failure) =>
          log(`The failure of a notice could not be stored: ${messageOf(failure)}`, { level: 'warn' }),
        )
      if (over)
        log(`The notification channel ${channel_id} did not get a notice: ${message}`, { level: 'warn' })
    }
  }

  async #send(channel: NotificationChannel, id: string, { path, ...body }: NoticeBody): Promise<void> {
    const { secrets, address } = this.#options
    const text = await secrets.ofChannel(channel)
    if (text === undefined)
      throw new ErrandError('unavailable', 'The address of this channel is no longer stored.', {
        hint: 'Remove it and add it again.',
      })
    const notice: WebhookNotice = { id, ...body, url: `${address()}${path}` }
    const value = JSON.parse(text) as ChannelValue
    const service = this.#serviceOf(channel, value)
    try {
      await this.sender.send(value, notice)
      if (service !== undefined) this.#options.outside?.worked(service)
    } catch (error) {
      const code = error instanceof ErrandError ? error.code : undefined
      // A working mail server may refuse one person's address.
      const fails = code === 'host_unreachable' || (code === 'host_refused' && value.kind !== 'email')
      if (fails && service !== undefined) this.#options.outside?.failed(service, error)
      throw error
    }
  }

  #serviceOf({ tenant }: NotificationChannel, value: ChannelValue): OutsideServiceKey | undefined {
    if (value.kind !== 'email') return { service: value.kind, address: new URL(value.url).host, tenant }
    const { mail } = this.#options
    return mail && { service: 'smtp', address: mailServer(mail.url) }
  }
}

const newId = (): string => `notice_${randomBytes(12).toString('base64url')}`

const isNews = (event: RunEvent): boolean =>
  event.type === 'approval.requested' ||
  event.type === 'approval.answered' ||
  event.type === 'run.finished' ||
  (event.type === 'input.given' && event.input.type === 'permission') ||
  (event.type === 'agent.update' &&
    (event.update.kind === 'permission' || event.update.kind === 'permission_answered'))

const approvalKey = ({ phase, step }: { phase: string; step: string }): string => `${phase} ${step}`

/** Returns the key of a question: each attempt of an agent numbers its own. */
const agentKey = (attempt: number, requestId: string): string => `${attempt} ${requestId}`

/** Returns the questions that these events leave open. */
function openQuestions(events: readonly RunEvent[]) {
  const open = new Map<
    string,
    {
      seq: number
      time: string
      step: string
      host?: string
      question: string
      /** Name of the question in the page's link. */
      link: string
      text: string
      expires_at?: string
      isApproval: boolean
      approvers?: Extract<RunEvent, { type: 'approval.requested' }>['approvers']
    }
  >()
  for (const event of events) {
    const { seq, time } = event
    if (event.type === 'approval.requested') {
      const { step, message, expires_at, approvers } = event
      const key = approvalKey(event)
      const more = { expires_at, approvers, isApproval: true }
      open.set(`${key} ${event.instance}`, {
        seq,
        time,
        step,
        question: key,
        link: step,
        text: message,
        ...more,
      })
    } else if (event.type === 'approval.answered') open.delete(`${approvalKey(event)} ${event.instance}`)
    else if (event.type === 'agent.update' && event.update.kind === 'permission') {
      const { attempt, host, update } = event
      const { request_id, title, input, expires_at } = update
      const question = agentKey(attempt, request_id)
      const text = [title, input].filter((part) => part !== undefined && part !== '').join('\n')
      open.set(question, {
        ...{ seq, time, step: event.step, host, question, link: `${request_id}@${attempt}`, expires_at },
        text: text || 'The agent asks for permission.',
        isApproval: false,
      })
    } else for (const id of answeredIn([event])) open.delete(id)
  }
  return [...open.values()]
}

function answeredIn(events: readonly RunEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.type === 'approval.answered') return [approvalKey(event)]
    if (event.type === 'input.given' && event.input.type === 'permission')
      return [agentKey(event.attempt, event.input.request_id)]
    if (event.type === 'agent.update' && event.update.kind === 'permission_answered')
      return [agentKey(event.attempt, event.update.request_id)]
    return []
  })
}
