import type { Isolation } from '../../contract/isolation.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { ToldSince } from '../proxy/telling.ts'
import type { DoorAsked } from './box-door.ts'
import type { Launch } from './launch.ts'

/** The places of the machine that processes in a box have, each at its own path; all else of it is not there. */
export interface BoxPlaces {
  /** Folders that they may write to. */
  writable: readonly string[]
  /** Files and folders that they may read. */
  readable: readonly string[]
  /** They reach nothing by the network, whatever the attempt may. */
  offline?: true
}

/**
 * The surroundings of one attempt's processes, so that they reach nothing else of their machine. `prepare` comes first, once for
 * each process of the runner; then any number of programs are enclosed, one beside another or one after another. It holds
 * nothing that does not stand in the attempt's folder as well: a later process of the runner opens the same one and ends it.
 */
export interface Box {
  readonly isolation: Exclude<Isolation, 'none'>
  /** Who is told, in words for a person, of what takes its time while it is made. */
  listen?(tell: (message: string) => void): void
  /**
   * Makes what it needs, and opens the door to what its network lets it reach. Throws `invalid_argument` or `unavailable`, with
   * a hint, where it cannot be had here.
   */
  prepare(asked?: DoorAsked): Promise<void>
  /**
   * The launch that runs that launch inside; `name` (a file name) tells apart what is enclosed in this box at a time. Writes only
   * into the attempt's folder. The variables of the launch are those inside, but for what the box sets itself; outside there
   * are none of them but Errand's marks, since they could have a program there load what stands in a workspace.
   * Throws `invalid_argument` for a place or a program that cannot stand in it.
   */
  enclose(launch: Launch, places: BoxPlaces, name: string): Launch
  /** Processes of this machine that stand in it, as far as they can be seen. */
  members(): number[]
  /** Whether a process holds the box up and says nothing: it gets no SIGTERM, or all inside would be killed by it. */
  spares(pid: number): boolean
  /** Whether what was enclosed under that name got as far as its program. */
  began(name: string): boolean
  /** Why that did not, where the box knows it. */
  whyNot?(name: string): string | undefined
  /** Measures the attempt, and tells past which limit it went, where the box holds it to its limits; absent: the machine does. */
  limiter?(): Limiter
  /**
   * Kills all that is inside and waits for it; false where something survives. Keeps nothing of the variables. May be called
   * twice, and where nothing began.
   */
  end(): Promise<boolean>
  /** All whole lines that its door has told from that byte on; none where it has no door. */
  told(fromOffset: number): ToldSince
  /** After its end: shuts its door, which tells what was used. May be called twice, and where nothing began. */
  close(): Promise<void>
  /** Forgets what its door has told, too. May be called twice. */
  remove(): Promise<void>
}

/** Whether a step is to run in a box by what it asks for itself. */
export const asksForBox = (isolation: Isolation | undefined): boolean =>
  isolation !== undefined && isolation !== 'none'

/** Where programs are looked for outside of a box, whatever the variables inside say. */
export const OUTSIDE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Variables by which Errand knows the processes of an attempt. */
const MARKS = /^ERRAND_\w+_MARK$/

/** The variables of a process that stands outside and holds a box up. */
export function outsideEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const marks = Object.entries(env).filter(([name]) => MARKS.test(name))
  return { PATH: OUTSIDE_PATH, ...Object.fromEntries(marks) }
}

/** How something ended that was to run in a box, where that could not be made; undefined: the code is its own. */
export function unboxed(
  box: Box,
  name: string,
  code: number | null,
): { type: 'start_failed'; message: string } | undefined {
  // From 128 on what held it up was killed.
  if (code === null || code === 0 || code >= 128 || box.began(name)) return undefined
  return {
    type: 'start_failed',
    message: box.whyNot?.(name) ?? `Its ${box.isolation} could not be made: its standard error says why.`,
  }
}
