import type { StreamStart, TopicEvent, TopicNews } from '../../../src/contract/run-api.ts'
import { ask, basePath, newKey, tellSessionBack } from '../api.ts'
import { hubNow, setHubTime } from '../clock.ts'
import { follow } from './event-stream.ts'

export interface Connection {
  /** `none`: the hub gives no stream of runs. */
  state: 'connecting' | 'live' | 'away' | 'none'
  /** Since when what is shown is old, by the hub's clock. Absent while it is away: it waits for a login. */
  sinceMs?: number
  /** When it is tried again. */
  retryMs?: number
}

/** Messages that each tab reads by itself. */
const told = ['run', 'asks', 'shared', 'unshared', 'reset', 'task', 'runners', 'waits', 'groups'] as const

/** A message of the stream, as each tab of the browser gets it. */
export type Heard =
  | { kind: (typeof told)[number]; data: string }
  | { kind: 'event'; of: TopicEvent }
  | { kind: 'topic'; of: TopicNews }
  | { kind: 'start'; of: StreamStart }
  | { kind: 'connection'; of: Connection }

/** `tasks`, `runners` or `run:ID`; the list of runs is followed always. */
export type TopicName = 'tasks' | 'runners' | `run:${string}`

/**
 * Tabs to the one that leads, and back. `heard`: with the place from which another stream goes on. `want`: all topics that a tab
 * follows, each run with the seq that it has. `ended`: the hub does not know the session any more. `again`: it knows one.
 */
type Said =
  | { say: 'heard'; heard: Heard; last: string | undefined }
  | { say: 'want'; tab: string; topics: Record<string, number>; begin?: string }
  | { say: 'gone'; tab: string }
  | { say: 'leads' | 'now' | 'again' | 'ended' | 'hello' | 'shown' }

const LISTS: readonly string[] = ['tasks', 'runners']

const withSeq = (topic: string, seq: number) => (LISTS.includes(topic) ? topic : `${topic}@${seq}`)

/** The connection to the hub with its topics; of a browser one tab has one. */
class Connected {
  readonly #tell: (heard: Heard) => void
  readonly #stream: ReturnType<typeof follow>
  /** All that the stream is to follow; of a run with the last seq that came, of a list with none. */
  readonly #topics = new Map<string, number>()
  #id: string | undefined
  connection: Connection = { state: 'connecting' }
  start: StreamStart | undefined

  constructor(tell: (heard: Heard) => void, options: { after: string | undefined; stays: boolean }) {
    this.#tell = tell
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
    const kind = told.find((one) => one === event)
    if (kind !== undefined) this.#tell({ kind, data })
    else if (event === 'run.event') {
      const of = JSON.parse(data) as TopicEvent
      const topic = `run:${of.run_id}`
      if (this.#topics.has(topic)) this.#topics.set(topic, of.event.seq)
      this.#tell({ kind: 'event', of })
    } else if (event === 'topic') {
      const of = JSON.parse(data) as TopicNews
      if (of.state === 'reset') this.#topics.set(of.topic, 0)
      else if (of.state !== 'begun') this.#topics.delete(of.topic)
      this.#tell({ kind: 'topic', of })
    } else if (event === 'start') {
      const asked = this.#asked
      this.start = JSON.parse(data) as StreamStart
      this.#id = this.start.stream
      this.#asked = new Map()
      this.#tell({ kind: 'start', of: this.start })
      for (const [topic, seq] of asked) this.add(topic, seq)
    }
  }
  /** Asked for while there was no open stream to add it to. */
  #asked = new Map<string, number>()

  #set(connection: Connection): void {
    this.connection = connection
    this.#tell({ kind: 'connection', of: connection })
  }
  has(topic: string): boolean {
    return this.#topics.has(topic)
  }
  /** The last seq that was told of it; no end where it is not followed. */
  seqOf(topic: string): number {
    return this.#topics.get(topic) ?? Number.POSITIVE_INFINITY
  }
  /** Follows a topic, a run from a seq, anew where it does already. */
  add(topic: string, seq: number): void {
    const before = this.#topics.get(topic)
    this.#topics.set(topic, before === undefined ? seq : Math.min(seq, before))
    if (this.#id === undefined) {
      this.#asked.set(topic, seq)
      return
    }
    this.#change({ add: [withSeq(topic, seq)] }).catch((error) => {
      const { status, code, message, hint } = error
      // Without an answer, or with the stream gone, the next stream has it.
      if (status === 0 || status >= 500 || code === 'not_found') return
      this.#topics.delete(topic)
      this.#tell({ kind: 'topic', of: { topic, state: 'refused', error: { code, message, hint } } })
    })
  }
  drop(topic: string): void {
    this.#asked.delete(topic)
    if (this.#topics.delete(topic) && this.#id !== undefined)
      this.#change({ drop: [topic] }).catch(() => undefined)
  }
  get topics(): string[] {
    return [...this.#topics.keys()]
  }
  #change(body: { add?: string[]; drop?: string[] }): Promise<unknown> {
    return ask('POST', `/api/events/${this.#id}`, { body })
  }
  /** Lets go of the connection until the tab is shown, where it is hidden. */
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

/** Followed of one run: what came, and how it is with the topic. */
export interface RunFollower {
  /** The last seq that it has. */
  seq: number
  event(of: TopicEvent['event']): void
  news(of: TopicNews): void
}

interface Listener {
  heard(heard: Heard): void
}

/** What a hidden tab keeps of what it hears; of more it asks anew. */
const MOST_HELD = 500

/**
 * The one stream of all tabs of a browser, which has six connections for a site. One tab has it, by a lock, and tells the others;
 * when it goes, another takes the stream up where it was. Where the browser has no locks (plain HTTP from another machine) each tab has its own
 * stream, and lets go of it while it is hidden. What a hidden tab hears of runs that it follows waits until it is shown.
 */
export class OneStream {
  readonly #listeners = new Set<Listener>()
  readonly #followers = new Map<string, Set<RunFollower>>()
  /** How many of this tab's parts follow a list. */
  readonly #lists = new Map<string, number>()
  /** The tab, as it names itself; anew with each start. */
  #tab = newKey()
  /** Others know by its lock that the tab is there. */
  #isKnown = false
  /** Of the tab that leads: the topics that the tabs follow. */
  readonly #wanted = new Map<string, readonly string[]>()
  #held: Heard[] = []
  #isBehind = false
  #channel: BroadcastChannel | undefined
  #connected: Connected | undefined
  #release: AbortController | undefined
  #last: string | undefined
  #nudge: ReturnType<typeof setInterval> | undefined
  connection: Connection = { state: 'connecting' }
  /** Called when another tab was told that the session has ended. */
  whenEnded: () => void = () => {}

  start(): void {
    if (this.#release !== undefined) return
    this.#release = new AbortController()
    this.#tab = newKey()
    const { signal } = this.#release
    this.#channel = openChannel()
    if (this.#channel !== undefined) this.#channel.onmessage = ({ data }) => this.#listen(data as Said)
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
    this.#wanted.clear()
    clearInterval(this.#nudge)
    this.#nudge = undefined
    document.removeEventListener('visibilitychange', this.#shown)
    removeEventListener('pagehide', this.#leave)
    removeEventListener('pageshow', this.#back)
    this.#hear({ kind: 'connection', of: { state: 'connecting' } })
  }
  /** After a login: the other tabs have a session again, too. */
  tellSessionBack(): void {
    // The page of the login has no stream.
    const channel = this.#channel ?? openChannel()
    channel?.postMessage({ say: 'again' } satisfies Said)
    if (channel !== this.#channel) channel?.close()
    tellSessionBack()
  }
  /** The hub has refused this tab's session, which is that of all. */
  tellSessionEnded(): void {
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
  /** Events of a run after the follower's seq, each once and in order. */
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
  /** Has the rows of a list told to the listeners. */
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
  /** Tells whoever leads what this tab follows; `begin`: this one from its seq, whatever came already. */
  #want(begin?: string): void {
    const said: Said = { say: 'want', tab: this.#tab, topics: this.#topics(), ...(begin ? { begin } : {}) }
    if (this.#connected !== undefined) this.#take(said)
    else if (this.#isKnown) this.#say(said)
  }
  #lead(stays: boolean): void {
    if (this.#release === undefined) return
    const topics = this.#topics()
    this.#connected = new Connected((heard) => this.#told(heard), { after: this.#last, stays })
    clearInterval(this.#nudge)
    this.#nudge = undefined
    for (const [topic, seq] of Object.entries(topics)) this.#connected.add(topic, seq)
    this.#wanted.set(this.#tab, Object.keys(topics))
    if (stays) this.#say({ say: 'leads' })
  }
  #told(heard: Heard): void {
    this.#last = this.#connected?.last ?? this.#last
    if (this.#isKnown) this.#say({ say: 'heard', heard, last: this.#last })
    this.#hear(heard)
  }
  #take({ tab, topics, begin }: Extract<Said, { say: 'want' }>): void {
    const connected = this.#connected!
    if (tab !== this.#tab && !this.#wanted.has(tab)) this.#waitForEnd(tab)
    this.#wanted.set(tab, Object.keys(topics))
    for (const [topic, seq] of Object.entries(topics))
      if ((topic === begin || !connected.has(topic)) && seq < connected.seqOf(topic))
        connected.add(topic, seq)
    this.#dropUnwanted()
  }
  #dropUnwanted(): void {
    const all = new Set([...this.#wanted.values()].flat())
    for (const topic of this.#connected?.topics ?? []) if (!all.has(topic)) this.#connected!.drop(topic)
  }
  /** A tab has its lock as long as it is there: who gets it knows that it has gone, be it by a crash. */
  #waitForEnd(tab: string): void {
    const signal = this.#release?.signal
    void navigator.locks
      .request(lockOf(tab), { signal: signal! }, async () => {
        this.#wanted.delete(tab)
        this.#dropUnwanted()
      })
      .catch(() => undefined)
  }
  #listen(said: Said): void {
    const connected = this.#connected
    if (said.say === 'again') tellSessionBack()
    else if (said.say === 'ended') this.whenEnded()
    else if (said.say === 'shown') {
      // Its own connection needs room: what nobody looks at lets go at once.
      if (!this.#isKnown && document.hidden) connected?.release()
    } else if (said.say === 'heard') {
      if (connected !== undefined) return
      this.#last = said.last
      this.#hear(said.heard)
    } else if (said.say === 'leads') this.#want()
    else if (connected === undefined || !this.#isKnown) return
    else if (said.say === 'want') this.#take(said)
    else if (said.say === 'gone') {
      this.#wanted.delete(said.tab)
      this.#dropUnwanted()
    } else if (said.say === 'now') connected.now()
    else if (said.say === 'hello') {
      const last = this.#last
      this.#say({ say: 'heard', heard: { kind: 'connection', of: connected.connection }, last })
      if (connected.start) this.#say({ say: 'heard', heard: { kind: 'start', of: connected.start }, last })
    }
  }
  #hear(heard: Heard): void {
    // Nobody looks: runs in a list may ask somebody (the title says so), all else waits.
    if (document.hidden && isForLater(heard)) this.#hold(heard)
    else this.#pass(heard)
  }
  #hold(heard: Heard): void {
    // Each is whole: of several the last counts.
    if (heard.kind === 'runners' || heard.kind === 'waits' || heard.kind === 'groups')
      this.#held = this.#held.filter(({ kind }) => kind !== heard.kind)
    if (this.#isBehind) return
    this.#held.push(heard)
    if (this.#held.length <= MOST_HELD) return
    this.#held = []
    this.#isBehind = true
  }
  readonly #shown = () => {
    if (document.hidden) return
    if (this.#release !== undefined && !this.#isKnown) this.#say({ say: 'shown' })
    const held = this.#held
    this.#held = []
    for (const heard of held) this.#pass(heard)
    if (!this.#isBehind) return
    this.#isBehind = false
    for (const topic of this.#followers.keys()) this.#mend(topic)
    for (const list of this.#lists.keys()) this.#pass({ kind: 'topic', of: { topic: list, state: 'reset' } })
  }
  #pass(heard: Heard): void {
    if (heard.kind === 'connection') this.#setConnection(heard.of)
    else if (heard.kind === 'start') setHubTime(Date.parse(heard.of.now))
    else if (heard.kind === 'event') this.#event(heard.of)
    else if (heard.kind === 'topic')
      for (const follower of this.#followers.get(heard.of.topic) ?? []) {
        if (heard.of.state === 'reset') follower.seq = 0
        follower.news(heard.of)
      }
    for (const listener of this.#listeners) listener.heard(heard)
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
    // Seqs have no hole: what came in between was for another tab, before this one asked.
    if (missing) this.#mend(topic)
  }
  #mending = new Set<string>()
  #mend(topic: string): void {
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
    // The tab that leads may be hidden, where timers are slow: who looks wakes it.
    if (connection.state === 'away' && this.#connected === undefined)
      this.#nudge = setInterval(() => {
        if (!document.hidden) this.#say({ say: 'now' })
      }, 2000)
  }
  #say(said: Said): void {
    this.#channel?.postMessage(said)
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

/** Of a list its rows, of a run its events: what only changes what is looked at. */
const isForLater = ({ kind }: Heard): boolean => forLater.includes(kind)
