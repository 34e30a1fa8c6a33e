import type { Isolation } from '../../contract/isolation.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { LogSince } from '../proxy/endpoint-log.ts'
import type { EndpointRequest } from './box-endpoint.ts'
import type { Launch } from './launch.ts'

/**
 * Lists the folders and files of the machine that processes in a box see, each at its own path; nothing else of the
 * machine is there.
 */
export interface BoxMounts {
  /** Folders that they may write to. */
  writable: readonly string[]
  /** Files and folders that they may read. */
  readable: readonly string[]
  /** Set if they get no network, whatever the attempt may use. */
  offline?: true
}

/**
 * Isolates the processes of one attempt, so that they reach nothing else of their machine. Call `prepare` first, once
 * for each process of the runner; then enclose any number of programs, in parallel or in sequence. All of its state is
 * in the attempt's folder, so a later process of the runner can open the same box and end it.
 */
export interface Box {
  readonly isolation: Exclude<Isolation, 'none'>
  /** Sets who receives messages, for people, about steps that take long while the box is made. */
  listen?(report: (message: string) => void): void
  /**
   * Makes what the box needs, and opens the endpoint to what its network allows. Throws `invalid_argument` or
   * `unavailable`, with a hint, if that is impossible here.
   */
  prepare(endpoint?: EndpointRequest): Promise<void>
  /**
   * Returns a launch that runs the given launch inside; `name` (a file name) distinguishes concurrent launches in this
   * box. Writes only into the attempt's folder. The variables of the launch apply inside, except those that the box
   * sets itself. Outside, only Errand's marks are set, because a variable could make a program there load something
   * from a workspace. Throws `invalid_argument` for a place or a program that cannot be in the box.
   */
  enclose(launch: Launch, mounts: BoxMounts, name: string): Launch
  /** Returns the processes of this machine that are in the box, as far as they are visible. */
  members(): number[]
  /** Reports whether a process only holds the box up. It gets no SIGTERM, which would kill everything inside. */
  spares(pid: number): boolean
  /** Reports whether the launch with that name got as far as its program. */
  began(name: string): boolean
  /** Returns why it did not, if the box knows. */
  whyNot?(name: string): string | undefined
  /**
   * Returns a limiter that measures the attempt and reports breaches, if the box applies the limits; absent if the
   * machine does.
   */
  limiter?(): Limiter
  /**
   * Kills everything inside and waits for it; returns false if something survives. Deletes the stored variables.
   * Idempotent, also if nothing began.
   */
  end(): Promise<boolean>
  /** Returns all complete lines that its endpoint has written from that byte on; none if it has no endpoint. */
  logSince(fromOffset: number): LogSince
  /** Closes its endpoint after the end; the endpoint then reports what was used. Idempotent, also if nothing began. */
  close(): Promise<void>
  /** Closes the endpoint and deletes its log. Idempotent. */
  remove(): Promise<void>
}

/** Reports whether a step requests a box itself. */
export const needsBox = (isolation: Isolation | undefined): boolean =>
  isolation !== undefined && isolation !== 'none'

/** Path on which programs are looked up outside a box, whatever the variables inside say. */
export const OUTSIDE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Variables that mark the processes of an attempt. */
const MARKS = /^ERRAND_\w+_MARK$/

/** Returns the variables of a process outside that holds a box up. */
export function outsideEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const marks = Object.entries(env).filter(([name]) => MARKS.test(name))
  return { PATH: OUTSIDE_PATH, ...Object.fromEntries(marks) }
}

/** Returns how a launch ended whose box could not be made; undefined if the exit code is the program's own. */
export function unboxed(
  box: Box,
  name: string,
  code: number | null,
): { type: 'start_failed'; message: string } | undefined {
  // From 128 on, the process that held it up was killed.
  if (code === null || code === 0 || code >= 128 || box.began(name)) return undefined
  return {
    type: 'start_failed',
    message: box.whyNot?.(name) ?? `The ${box.isolation} could not be created: its stderr says why.`,
  }
}
