import type { StreamStart, TopicEvent, TopicNews } from '../../src/contract/run-api.ts'
import { ask, basePath, newKey, tellSessionBack } from './api.ts'
import { hubNow, setHubTime } from './clock.ts'
import { follow } from './event-stream.ts'

export interface Connection {
  /** `none`: the hub gives no stream of runs. */
  state: 'connecting' | 'live' | 'away' | 'none'
  /** Since when what is shown is old, by the hub's clock. */
  sinceMs?: number
}

/** A message of the stream, as each tab of the browser gets it. */
export type Heard =
  | { kind: 'run' | 'asks' | 'reset'; data: string }
  | { kind: 'event'; of: TopicEvent }
  | { kind: 'topic'; of: TopicNews }
  | { kind: 'start'; of: StreamStart }
  | { kind: 'connection'; of: Connection }

/** Tabs to the one that leads, and back. `want`: all runs that a tab follows, each with the seq that it has. */
type Said =
  | { say: 'heard'; heard: Heard }
  | { say: 'want'; tab: string; runs: Record<string, number>; begin?: string }
  | { say: 'gone'; tab: string }
  | { say: 'leads' | 'now' | 'again' | 'hello' }

/** The connection to the hub with its topics; of a browser one tab has one. */
class Connected {
  readonly #tell: (heard: Heard) => void
  readonly #stream: ReturnType<typeof follow>
  /** What the stream is to follow, with the last seq that came. */
  readonly #runs = new Map<string, number>()
  #id: string | undefined
  connection: Connection = { state: 'connecting' }
  start: StreamStart | undefined

  constructor(tell: (heard: Heard) => void, options: { after: string | undefined; stays: boolean }) {
    this.#tell = tell
    this.#stream = follow('/api/events', {
      after: options.after,
      stays: options.stays,
      query: () => ({
        topics: ['runs', ...[...this.#runs].map(([id, seq]) => `run:${id}@${seq}`)].join(','),
      }),
      message: ({ event, data, id }) => this.#take(event, data, id),
      state: (state) => {
        this.#id = undefined
        if (state === 'live') this.#set({ state })
        else if (state === 'refused') this.#set({ state: 'none' })
        else if (this.connection.state !== 'away') this.#set({ state, sinceMs: hubNow() })
      },
    })
  }
  /** The id of the last message of `runs`. */
  last: string | undefined

  #take(event: string, data: string, id: string): void {
    if (id !== '') this.last = id
    if (event === 'run' || event === 'asks' || event === 'reset') this.#tell({ kind: event, data })
    else if (event === 'run.event') {
      const of = JSON.parse(data) as TopicEvent
      if (this.#runs.has(of.run_id)) this.#runs.set(of.run_id, of.event.seq)
      this.#tell({ kind: 'event', of })
    } else if (event === 'topic') {
      const of = JSON.parse(data) as TopicNews
      const run = of.topic.slice('run:'.length)
      if (of.state === 'reset') this.#runs.set(run, 0)
      else this.#runs.delete(run)
      this.#tell({ kind: 'topic', of })
    } else if (event === 'start') {
      const asked = this.#asked
      this.start = JSON.parse(data) as StreamStart
      this.#id = this.start.stream
      this.#asked = new Map()
      this.#tell({ kind: 'start', of: this.start })
      for (const [run, seq] of asked) this.add(run, seq)
    }
  }
  /** Asked for while there was no open stream to add it to. */
  #asked = new Map<string, number>()

  #set(connection: Connection): void {
    this.connection = connection
    this.#tell({ kind: 'connection', of: connection })
  }
  has(run: string): boolean {
    return this.#runs.has(run)
  }
  /** The last seq that was told of it; no end where it is not followed. */
  seqOf(run: string): number {
    return this.#runs.get(run) ?? Number.POSITIVE_INFINITY
  }
  /** Follows a run from a seq, anew where it does already. */
  add(run: string, seq: number): void {
    const before = this.#runs.get(run)
    this.#runs.set(run, before === undefined ? seq : Math.min(seq, before))
    if (this.#id === undefined) {
      this.#asked.set(run, seq)
      return
    }
    const topic = `run:${run}`
    this.#change({ add: [`${topic}@${seq}`] }).catch((error) => {
      const { status, code, message, hint } = error
      // Without an answer, or with the stream gone, the next stream has it.
      if (status === 0 || status >= 500 || code === 'not_found') return
      this.#runs.delete(run)
      this.#tell({ kind: 'topic', of: { topic, state: 'refused', error: { code, message, hint } } })
    })
  }
  drop(run: string): void {
    this.#asked.delete(run)
    if (this.#runs.delete(run) && this.#id !== undefined)
      this.#change({ drop: [`run:${run}`] }).catch(() => undefined)
  }
  get runs(): string[] {
    return [...this.#runs.keys()]
  }
  #change(body: { add?: string[]; drop?: string[] }): Promise<unknown> {
    return ask('POST', `/api/events/${this.#id}`, { body })
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

/**
 * The one stream of all tabs of a browser, which has six connections for a site. One tab has it, by a lock, and tells the others;
 * when it goes, another takes the stream up where it was. Where the browser has no locks (plain HTTP from another machine) each tab has its own
 * stream, and lets go of it while it is hidden.
 */
export class OneStream {
  readonly #listeners = new Set<Listener>()
  readonly #followers = new Map<string, Set<RunFollower>>()
  readonly #tab = newKey()
  /** Of the tab that leads: the runs that the tabs follow. */
  readonly #wanted = new Map<string, readonly string[]>()
  #channel: BroadcastChannel | undefined
  #connected: Connected | undefined
  #release: AbortController | undefined
  #last: string | undefined
  #nudge: ReturnType<typeof setInterval> | undefined
  connection: Connection = { state: 'connecting' }

  start(): void {
    if (this.#release !== undefined) return
    this.#release = new AbortController()
    const { signal } = this.#release
    if (!('locks' in navigator) || navigator.locks === undefined || !('BroadcastChannel' in globalThis)) {
      this.#lead(false)
      return
    }
    const name = `errand-stream:${basePath}`
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }) => this.#listen(data as Said)
    addEventListener('pagehide', this.#leave)
    addEventListener('pageshow', this.#back)
    this.#say({ say: 'hello' })
    for (const run of this.#followers.keys()) this.#want(run)
    void navigator.locks
      .request(name, { signal }, async () => {
        this.#lead(true)
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      })
      .catch(() => undefined)
  }
  stop(): void {
    this.#leave()
    this.#release?.abort()
    this.#release = undefined
    this.#connected?.stop()
    this.#connected = undefined
    this.#channel?.close()
    this.#channel = undefined
    this.#wanted.clear()
    clearInterval(this.#nudge)
    this.#nudge = undefined
    removeEventListener('pagehide', this.#leave)
    removeEventListener('pageshow', this.#back)
    this.#hear({ kind: 'connection', of: { state: 'connecting' } })
  }
  /** After a login: the other tabs have a session again, too. */
  tellSessionBack(): void {
    this.#say({ say: 'again' })
    tellSessionBack()
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
    const followers = this.#followers.get(run) ?? new Set()
    this.#followers.set(run, followers.add(follower))
    this.#want(run)
    return () => {
      followers.delete(follower)
      if (followers.size > 0) return
      this.#followers.delete(run)
      this.#want()
    }
  }

  #runs(): Record<string, number> {
    const least = (followers: Set<RunFollower>) => Math.min(...[...followers].map(({ seq }) => seq))
    return Object.fromEntries([...this.#followers].map(([run, followers]) => [run, least(followers)]))
  }
  /** Tells whoever leads what this tab follows; `begin`: this one from its seq, whatever came already. */
  #want(begin?: string): void {
    const said: Said = { say: 'want', tab: this.#tab, runs: this.#runs(), ...(begin ? { begin } : {}) }
    if (this.#connected !== undefined) this.#take(said)
    else this.#say(said)
  }
  #lead(stays: boolean): void {
    if (this.#release === undefined) return
    const runs = this.#runs()
    this.#connected = new Connected((heard) => this.#told(heard), { after: this.#last, stays })
    clearInterval(this.#nudge)
    this.#nudge = undefined
    for (const [run, seq] of Object.entries(runs)) this.#connected.add(run, seq)
    this.#wanted.set(this.#tab, Object.keys(runs))
    this.#say({ say: 'leads' })
  }
  #told(heard: Heard): void {
    this.#say({ say: 'heard', heard })
    this.#hear(heard)
    this.#last = this.#connected?.last ?? this.#last
  }
  #take({ tab, runs, begin }: Extract<Said, { say: 'want' }>): void {
    const connected = this.#connected!
    this.#wanted.set(tab, Object.keys(runs))
    for (const [run, seq] of Object.entries(runs))
      if ((run === begin || !connected.has(run)) && seq < connected.seqOf(run)) connected.add(run, seq)
    const all = new Set([...this.#wanted.values()].flat())
    for (const run of connected.runs) if (!all.has(run)) connected.drop(run)
  }
  #listen(said: Said): void {
    const connected = this.#connected
    if (said.say === 'heard') {
      if (connected === undefined) this.#hear(said.heard)
    } else if (said.say === 'leads') {
      for (const run of this.#followers.keys()) this.#want(run)
    } else if (said.say === 'again') tellSessionBack()
    else if (connected === undefined) return
    else if (said.say === 'want') this.#take(said)
    else if (said.say === 'gone') this.#take({ say: 'want', tab: said.tab, runs: {} })
    else if (said.say === 'now') connected.now()
    else if (said.say === 'hello') {
      this.#say({ say: 'heard', heard: { kind: 'connection', of: connected.connection } })
      if (connected.start) this.#say({ say: 'heard', heard: { kind: 'start', of: connected.start } })
    }
  }
  #hear(heard: Heard): void {
    if (heard.kind === 'connection') this.#setConnection(heard.of)
    else if (heard.kind === 'start') setHubTime(Date.parse(heard.of.now))
    else if (heard.kind === 'event') this.#event(heard.of)
    else if (heard.kind === 'topic') {
      const run = heard.of.topic.slice('run:'.length)
      for (const follower of this.#followers.get(run) ?? []) {
        if (heard.of.state === 'reset') follower.seq = 0
        follower.news(heard.of)
      }
    }
    for (const listener of this.#listeners) listener.heard(heard)
  }
  #event({ run_id, event }: TopicEvent): void {
    let missing = false
    for (const follower of this.#followers.get(run_id) ?? []) {
      if (event.seq === follower.seq + 1) {
        follower.seq = event.seq
        follower.event(event)
      } else if (event.seq > follower.seq) missing = true
    }
    // Seqs have no hole: what came in between was for another tab, before this one asked.
    if (missing) this.#mend(run_id)
  }
  #mending = new Set<string>()
  #mend(run: string): void {
    if (this.#mending.has(run)) return
    this.#mending.add(run)
    setTimeout(() => {
      this.#mending.delete(run)
      if (this.#followers.has(run)) this.#want(run)
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
  readonly #leave = () => this.#say({ say: 'gone', tab: this.#tab })
  readonly #back = ({ persisted }: PageTransitionEvent) => {
    if (!persisted) return
    this.stop()
    this.start()
  }
}
