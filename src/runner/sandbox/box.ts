import type { Isolation } from '../../contract/isolation.ts'
import type { Launch } from './launch.ts'

/** The places of the machine that processes in a box have, each at its own path; all else of it is not there. */
export interface BoxPlaces {
  /** Folders that they may write to. */
  writable: readonly string[]
  /** Files and folders that they may read. */
  readable: readonly string[]
}

/**
 * What the processes of one attempt run in, so that they reach nothing else of their machine. `prepare` comes first, once for
 * each process of the runner; then any number of programs are enclosed, one beside another or one after another. It holds
 * nothing that does not stand in the attempt's folder as well: a later process of the runner opens the same one and ends it.
 */
export interface Box {
  readonly isolation: Exclude<Isolation, 'none'>
  /** Makes what it needs. Throws `invalid_argument` or `unavailable`, with a hint, where it cannot be had here. */
  prepare(): Promise<void>
  /**
   * The launch that runs that launch inside; `name` (a file name) tells apart what is enclosed in this box at a time. Writes only
   * into the attempt's folder. The variables of the launch are those inside, but for what the box sets itself.
   */
  enclose(launch: Launch, places: BoxPlaces, name: string): Launch
  /** Processes of this machine that stand in it, as far as they can be seen. */
  members(): number[]
  /** Whether a process holds the box up and says nothing: it gets no SIGTERM, or all inside would be killed by it. */
  spares(pid: number): boolean
  /** Kills all that is inside and waits for it; false where something survives. May be called twice, and where nothing began. */
  end(): Promise<boolean>
}
