import type { StreamStart, TopicEvent, TopicNews } from '../../../src/contract/run-api.ts'
import { announceSessionBack, ask, basePath, newKey } from '../api.ts'
import { hubNow, setHubTime } from '../clock.ts'
import { follow } from './event-stream.ts'

export interface Connection {
  /**
   * `none`: the hub offers no stream of runs. `away`: the stream is tried again, or waits for a login if `sinceMs` is
   * absent.
   */
  state: 'connecting' | 'live' | 'away' | 'none'
  /** Time since which the shown data is outdated, by the hub's clock. Absent while the stream waits for a login. */
  sinceMs?: number
  /** Time of the next try, by the hub's clock. */
  retryMs?: number
}

/** Messages that each tab parses by itself. */
const sharedTypes = [
  'run',
  'asks',
  'shared',
  'unshared',
  'reset',
  'task',
  'runners',
  'waits',
  'groups',
] as const

/** A message of the stream, as each tab of the browser receives it. */
export type StreamMessage =
  | { kind: (typeof sharedTypes)[number]; data: string }
  | { kind: 'event'; of: TopicEvent }
  | { kind: 'topic'; of: TopicNews }
  | { kind: 'start'; of: StreamStart }
  | { kind: 'connection'; of: Connection }

/** `tasks`, `runners` or `run:ID`; the list of runs is always followed. */
export type TopicName = 'tasks' | 'runners' | `run:${string}`

/**
 * Messages between the leading tab and the others.
 * - `heard`: a message of the stream, with the id after which another tab's stream resumes.
 * - `want`: all topics that a tab follows, each run with the last seq that the tab has.
 * - `ended`: the hub does not know the session any more.
 * - `again`: there is a session again.
 */
type TabMessage =
  | { say: 'heard'; heard: StreamMessage; last: string | undefined }
  | { say: 'want'; tab: string; topics: Record<string, number>; begin?: string }
  | { say: 'gone'; tab: string }
  | { say: 'leads' | 'now' | 'again' | 'ended' | 'hello' | 'shown' }

const LISTS: readonly string[] = ['tasks', 'runners']

const withSeq = (topic: string, seq: number) => (LISTS.includes(topic) ? topic : `${topic}@${seq}`)

/** The connection to the hub with its topics; one tab of a browser has it. */
class Connected {
  readonly #listener: (message: StreamMessage) => void
  readonly #stream: ReturnType<typeof follow>
  /** Topics that the stream follows, with the last seq received of a run, or 0 for a list. */
  readonly #topics = new Map<string, number>()
  #id: string | undefined
  connection: Connection = { state: 'connecting' }
  start: StreamStart | undefined

  constructor(
    listener: (message: StreamMessage) => void,
    options: { after: string | undefined; stays: boolean },
  ) {
    this.#listener = listener
    this.#stream = follow('/api/events', {
      after: options.after,
      stays: options.stays,
      query: () => ({
        topics: ['runs', ...[...this.#topics].map(([name, seq]) => withSeq(name, seq))].join(','),
      }),
      message: ({ event, data, id }) => this.#take(event, data, id),
      state: (state, away) => {
        this.#id = undefined
        if (state === 'live') this.#set({ state })
        else if (state === 'refused') this.#set({ state: 'none' })
        else if (away === undefined) this.#set({ state: 'away' })
        else {
          const { sinceMs = hubNow() - away.silentMs } = this.connection
          this.#set({ state: 'away', sinceMs, retryMs: hubNow() + away.retryInMs })
        }
      },
    })
  }
  /** The id of the last message of `runs`. */
  last: string | undefined

  #take(event: string, data: string, id: string): void {
    if (id !== '') this.last = id
    const kind = sharedTypes.find((one) => one === event)
    if (kind !== undefined) this.#listener({ kind, data })
    else if (event === 'run.event') {
      const of = JSON.parse(data) as TopicEvent
      const topic = `run:${of.run_id}`
      if (this.#topics.has(topic)) this.#topics.set(topic, of.event.seq)
      this.#listener({ kind: 'event', of })
    } else if (event === 'topic') {
      const of = JSON.parse(data) as TopicNews
      if (of.state === 'reset') this.#topics.set(of.topic, 0)
      else if (of.state !== 'begun') this.#topics.delete(of.topic)
      this.#listener({ kind: 'topic', of })
    } else if (event === 'start') {
      const requested = this.#requests
      this.start = JSON.parse(data) as StreamStart
      this.#id = this.start.stream
      this.#requests = new Map()
      this.#listener({ kind: 'start', of: this.start })
      for (const [topic, seq] of requested) this.add(topic, seq)
    }
  }
  /** Topics requested while there was no open stream to add them to. */
  #requests = new Map<string, number>()

  #set(connection: Connection): void {
    this.connection = connection
    this.#listener({ kind: 'connection', of: connection })
  }
  has(topic: string): boolean {
    return this.#topics.has(topic)
  }
  /** Returns the last seq passed on of a topic, or infinity if the topic is not followed. */
  seqOf(topic: string): number {
    return this.#topics.get(topic) ?? Number.POSITIVE_INFINITY
  }
  /** Follows a topic, a run after a seq; starts again there if it is already followed. */
  add(topic: string, seq: number): void {
    const before = this.#topics.get(topic)
    this.#topics.set(topic, before === undefined ? seq : Math.min(seq, before))
    if (this.#id === undefined) {
      this.#requests.set(topic, seq)
      return
    }
    this.#change({ add: [withSeq(topic, seq)] }).catch((error) => {
      const { status, code, message, hint } = error
      // If the hub did not answer or the stream is gone, the next stream includes the topic.
      if (status === 0 || status >= 500 || code === 'not_found') return
      this.#topics.delete(topic)
      this.#listener({ kind: 'topic', of: { topic, state: 'refused', error: { code, message, hint } } })
    })
  }
  drop(topic: string): void {
    this.#requests.delete(topic)
    if (this.#topics.delete(topic) && this.#id !== undefined)
      this.#change({ drop: [topic] }).catch(() => undefined)
  }
  get topics(): string[] {
    return [...this.#topics.keys()]
  }
  #change(body: { add?: string[]; drop?: string[] }): Promise<unknown> {
    return ask('POST', `/api/events/${this.#id}`, { body })
  }
  /** If the tab is hidden, closes the connection until the tab is shown. */
  release(): void {
    this.#stream.release()
  }
  now(): void {
    this.#stream.now()
  }
  stop(): void {
    this.#stream.stop()
  }
}

/** Follows one run: receives its events and the news about its topic. */
export interface RunFollower {
  /** The last seq that it has received. */
  seq: number
  event(of: TopicEvent['event']): void
  news(of: TopicNews): void
}

interface Listener {
  received(received: StreamMessage): void
}

/** Maximum number of messages that a hidden tab holds; beyond them, it asks the hub again when shown. */
const MOST_HELD = 500

/**
 * Shares one stream among all tabs of a browser, since a browser has only six connections per site.
 * - Leading: the tab that holds the stream's lock has the connection and passes messages on. When it closes, another
 *   tab takes the lock and resumes the stream where it was.
 * - Listening: every other tab receives the messages of the leading tab, and tells it which topics it wants.
 * - Alone: where the browser has no locks (plain HTTP from another machine), each tab has a stream of its own, and
 *   closes it while it is hidden.
 *
 * A hidden tab holds the messages about its lists and runs until it is shown.
 */
export class OneStream {
  readonly #listeners = new Set<Listener>()
  readonly #followers = new Map<string, Set<RunFollower>>()
  /** Number of this tab's parts that follow each list. */
  readonly #lists = new Map<string, number>()
  /** This tab's name for itself; new with each start. */
  #tab = newKey()
  /** Tells that this tab has the lock by which other tabs know that it exists. */
  #isKnown = false
  /** Topics by tab, in the leading tab only. */
  readonly #topicsByTab = new Map<string, readonly string[]>()
  #held: StreamMessage[] = []
  #isBehind = false
  #channel: BroadcastChannel | undefined
  #connected: Connected | undefined
  #release: AbortController | undefined
  #last: string | undefined
  #nudge: ReturnType<typeof setInterval> | undefined
  connection: Connection = { state: 'connecting' }
  /** Called when another tab reports that the session has ended. */
  whenEnded: () => void = () => {}

  start(): void {
    if (this.#release !== undefined) return
    this.#release = new AbortController()
    this.#tab = newKey()
    const { signal } = this.#release
    this.#channel = openChannel()
    if (this.#channel !== undefined) this.#channel.onmessage = ({ data }) => this.#listen(data as TabMessage)
    document.addEventListener('visibilitychange', this.#shown)
    if (!('locks' in navigator) || navigator.locks === undefined || this.#channel === undefined) {
      this.#lead(false)
      if (!document.hidden) this.#say({ say: 'shown' })
      return
    }
    addEventListener('pagehide', this.#leave)
    addEventListener('pageshow', this.#back)
    const stays = () => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    void navigator.locks
      .request(lockOf(this.#tab), { signal }, async () => {
        this.#isKnown = true
        this.#say({ say: 'hello' })
        this.#want()
        await stays()
      })
      .catch(() => undefined)
    void navigator.locks
      .request(streamName, { signal }, async () => {
        this.#lead(true)
        await stays()
      })
      .catch(() => undefined)
  }
  stop(): void {
    this.#leave()
    this.#release?.abort()
    this.#release = undefined
    this.#isKnown = false
    this.#connected?.stop()
    this.#connected = undefined
    this.#channel?.close()
    this.#channel = undefined
    this.#topicsByTab.clear()
    clearInterval(this.#nudge)
    this.#nudge = undefined
    document.removeEventListener('visibilitychange', this.#shown)
    removeEventListener('pagehide', this.#leave)
    removeEventListener('pageshow', this.#back)
    this.#receive({ kind: 'connection', of: { state: 'connecting' } })
  }
  /** Reports after a login that the other tabs have a session again too. */
  announceSessionBack(): void {
    // The login page has no stream.
    const channel = this.#channel ?? openChannel()
    channel?.postMessage({ say: 'again' } satisfies TabMessage)
    if (channel !== this.#channel) channel?.close()
    announceSessionBack()
  }
  /** Tells the other tabs that the hub refused the session, which all tabs share. */
  announceSessionEnded(): void {
    this.#say({ say: 'ended' })
  }
  now(): void {
    if (this.#connected === undefined) this.#say({ say: 'now' })
    else this.#connected.now()
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  /** Follows the events of a run after the follower's seq, each once and in order. */
  follow(run: string, follower: RunFollower): () => void {
    const topic = `run:${run}`
    const followers = this.#followers.get(topic) ?? new Set()
    this.#followers.set(topic, followers.add(follower))
    this.#want(topic)
    return () => {
      followers.delete(follower)
      if (followers.size > 0) return
      this.#followers.delete(topic)
      this.#want()
    }
  }
  /** Passes the rows of a list to the listeners. */
  followList(list: 'tasks' | 'runners'): () => void {
    this.#lists.set(list, (this.#lists.get(list) ?? 0) + 1)
    this.#want(list)
    return () => {
      const left = this.#lists.get(list)! - 1
      if (left > 0) this.#lists.set(list, left)
      else this.#lists.delete(list)
      if (left === 0) this.#want()
    }
  }

  #topics(): Record<string, number> {
    const least = (followers: Set<RunFollower>) => Math.min(...[...followers].map(({ seq }) => seq))
    const runs = [...this.#followers].map(([topic, followers]) => [topic, least(followers)] as const)
    return Object.fromEntries([...runs, ...[...this.#lists.keys()].map((list) => [list, 0] as const)])
  }
  /**
   * Tells the leading tab what this tab follows; `begin` names the topic to start at its seq, even if it is already
   * followed.
   */
  #want(begin?: string): void {
    const message: TabMessage = {
      say: 'want',
      tab: this.#tab,
      topics: this.#topics(),
      ...(begin ? { begin } : {}),
    }
    if (this.#connected !== undefined) this.#take(message)
    else if (this.#isKnown) this.#say(message)
  }
  #lead(stays: boolean): void {
    if (this.#release === undefined) return
    const topics = this.#topics()
    this.#connected = new Connected((message) => this.#reported(message), { after: this.#last, stays })
    clearInterval(this.#nudge)
    this.#nudge = undefined
    for (const [topic, seq] of Object.entries(topics)) this.#connected.add(topic, seq)
    this.#topicsByTab.set(this.#tab, Object.keys(topics))
    if (stays) this.#say({ say: 'leads' })
  }
  #reported(message: StreamMessage): void {
    this.#last = this.#connected?.last ?? this.#last
    if (this.#isKnown) this.#say({ say: 'heard', heard: message, last: this.#last })
    this.#receive(message)
  }
  #take({ tab, topics, begin }: Extract<TabMessage, { say: 'want' }>): void {
    const connected = this.#connected!
    if (tab !== this.#tab && !this.#topicsByTab.has(tab)) this.#waitForEnd(tab)
    this.#topicsByTab.set(tab, Object.keys(topics))
    for (const [topic, seq] of Object.entries(topics))
      if ((topic === begin || !connected.has(topic)) && seq < connected.seqOf(topic))
        connected.add(topic, seq)
    this.#dropUnwanted()
  }
  #dropUnwanted(): void {
    const all = new Set([...this.#topicsByTab.values()].flat())
    for (const topic of this.#connected?.topics ?? []) if (!all.has(topic)) this.#connected!.drop(topic)
  }
  /** Waits for the lock that a tab holds as long as it exists: getting it means that the tab has closed or crashed. */
  #waitForEnd(tab: string): void {
    const signal = this.#release?.signal
    void navigator.locks
      .request(lockOf(tab), { signal: signal! }, async () => {
        this.#topicsByTab.delete(tab)
        this.#dropUnwanted()
      })
      .catch(() => undefined)
  }
  #listen(message: TabMessage): void {
    const connected = this.#connected
    if (message.say === 'again') announceSessionBack()
    else if (message.say === 'ended') this.whenEnded()
    else if (message.say === 'shown') {
      // The shown tab needs room for its own connection: a hidden tab closes its own at once.
      if (!this.#isKnown && document.hidden) connected?.release()
    } else if (message.say === 'heard') {
      if (connected !== undefined) return
      this.#last = message.last
      this.#receive(message.heard)
    } else if (message.say === 'leads') this.#want()
    else if (connected === undefined || !this.#isKnown) return
    else if (message.say === 'want') this.#take(message)
    else if (message.say === 'gone') {
      this.#topicsByTab.delete(message.tab)
      this.#dropUnwanted()
    } else if (message.say === 'now') connected.now()
    else if (message.say === 'hello') {
      const last = this.#last
      this.#say({ say: 'heard', heard: { kind: 'connection', of: connected.connection }, last })
      if (connected.start) this.#say({ say: 'heard', heard: { kind: 'start', of: connected.start }, last })
    }
  }
  #receive(message: StreamMessage): void {
    // A hidden tab only handles changes of runs, since they may ask somebody (the title says so). All else waits.
    if (document.hidden && isForLater(message)) this.#hold(message)
    else this.#pass(message)
  }
  #hold(message: StreamMessage): void {
    // Each of these messages is complete: only the last of a kind counts.
    if (message.kind === 'runners' || message.kind === 'waits' || message.kind === 'groups')
      this.#held = this.#held.filter(({ kind }) => kind !== message.kind)
    if (this.#isBehind) return
    this.#held.push(message)
    if (this.#held.length <= MOST_HELD) return
    this.#held = []
    this.#isBehind = true
  }
  readonly #shown = () => {
    if (document.hidden) return
    if (this.#release !== undefined && !this.#isKnown) this.#say({ say: 'shown' })
    const held = this.#held
    this.#held = []
    for (const message of held) this.#pass(message)
    if (!this.#isBehind) return
    this.#isBehind = false
    for (const topic of this.#followers.keys()) this.#repair(topic)
    for (const list of this.#lists.keys()) this.#pass({ kind: 'topic', of: { topic: list, state: 'reset' } })
  }
  #pass(message: StreamMessage): void {
    if (message.kind === 'connection') this.#setConnection(message.of)
    else if (message.kind === 'start') setHubTime(Date.parse(message.of.now))
    else if (message.kind === 'event') this.#event(message.of)
    else if (message.kind === 'topic')
      for (const follower of this.#followers.get(message.of.topic) ?? []) {
        if (message.of.state === 'reset') follower.seq = 0
        follower.news(message.of)
      }
    for (const listener of this.#listeners) listener.received(message)
  }
  #event({ run_id, event }: TopicEvent): void {
    const topic = `run:${run_id}`
    let missing = false
    for (const follower of this.#followers.get(topic) ?? []) {
      if (event.seq === follower.seq + 1) {
        follower.seq = event.seq
        follower.event(event)
      } else if (event.seq > follower.seq) missing = true
    }
    // Seqs have no gaps: another tab asked for the events in between before this tab did.
    if (missing) this.#repair(topic)
  }
  #mending = new Set<string>()
  #repair(topic: string): void {
    if (this.#mending.has(topic)) return
    this.#mending.add(topic)
    setTimeout(() => {
      this.#mending.delete(topic)
      if (this.#followers.has(topic)) this.#want(topic)
    }, 250)
  }
  #setConnection(connection: Connection): void {
    this.connection = connection
    clearInterval(this.#nudge)
    this.#nudge = undefined
    // The leading tab may be hidden, where timers are slow: a visible tab wakes it.
    if (connection.state === 'away' && this.#connected === undefined)
      this.#nudge = setInterval(() => {
        if (!document.hidden) this.#say({ say: 'now' })
      }, 2000)
  }
  #say(message: TabMessage): void {
    this.#channel?.postMessage(message)
  }
  readonly #leave = () => {
    if (this.#isKnown) this.#say({ say: 'gone', tab: this.#tab })
  }
  readonly #back = ({ persisted }: PageTransitionEvent) => {
    if (!persisted) return
    this.stop()
    this.start()
  }
}

const streamName = `errand-stream:${basePath}`
const openChannel = () => ('BroadcastChannel' in globalThis ? new BroadcastChannel(streamName) : undefined)
const lockOf = (tab: string) => `errand-tab:${tab}`

const forLater: readonly string[] = ['event', 'topic', 'task', 'runners', 'waits', 'groups']

/** Reports whether a message can wait: rows of a list and events of a run only change visible parts of the page. */
const isForLater = ({ kind }: StreamMessage): boolean => forLater.includes(kind)
