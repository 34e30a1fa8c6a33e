import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { AttemptFolder } from '../attempts/attempt-folder.ts'
import { callAt } from '../attempts/timers.ts'
import type { Ending } from '../attempts/verdict.ts'
import { WrappedProcess } from '../attempts/wrapped-process.ts'
import type { Scope } from '../limits/scope.ts'
import type { Box, BoxMounts } from '../sandbox/box.ts'
import type { Launch } from '../sandbox/launch.ts'
import type { BoxedCommand, BoxedEnd } from './platform-step.ts'

export interface BoxedCommandsOptions {
  /** Folder of the attempt: each command has its own below it. */
  folder: string
  mark: string
  cage: Scope
  /** Box for the commands; if absent, they run directly on the machine. */
  box: Box | undefined
  /** Output of the attempt itself. */
  log: { stdoutFd: number; stderrFd: number }
  /** Returns the present workspace of the run. */
  workspace(): string
  /** Returns the present places outside it that its programs may read. */
  readable(): readonly string[]
  /** Returns the whole environment of a command with these variables. */
  environment(own: Readonly<Record<string, string>>): NodeJS.ProcessEnv
}

/** Milliseconds between SIGTERM and SIGKILL of a command that exceeds its time. */
const GRACE_MS = 5_000

/** Runs the programs of a platform step, one at a time. They end with the step. */
export class BoxedCommands {
  readonly #options: BoxedCommandsOptions
  #count = 0
  #prepared: Promise<void> | undefined
  #running: { process: WrappedProcess; stopped: boolean } | undefined
  #halted = false

  constructor(options: BoxedCommandsOptions) {
    this.#options = options
  }

  /** Resolves when nothing of it is left. Throws if a command is running already. */
  async run(command: BoxedCommand): Promise<BoxedEnd> {
    if (this.#running) throw new Error('A command of the step is already running.')
    const { box } = this.#options
    this.#prepared ??= box?.prepare()
    await this.#prepared
    if (this.#halted) return { type: 'stopped' }
    this.#count++
    const path = join(this.#options.folder, `command.${this.#count}`)
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const { stdout } = command
    const fd = stdout === 'log' ? undefined : openSync(stdout.file, 'w', 0o600)
    try {
      return await this.#run(command, path, fd ?? this.#options.log.stdoutFd)
    } finally {
      if (fd !== undefined) closeSync(fd)
    }
  }

  /** Ends the running command, and begins nothing more. A second call can only make it quicker. */
  async stop(graceMs: number): Promise<void> {
    this.#halted = true
    const running = this.#running
    if (!running) return
    running.stopped = true
    await running.process.stop(graceMs)
  }

  /** Ends everything that is known of them; returns false if something survives. */
  async end(): Promise<boolean> {
    const { folder, mark, cage, box } = this.#options
    this.#halted = true
    const any = new WrappedProcess({ folder: new AttemptFolder(folder), mark, cage, box, onEnd: () => {} })
    return await any.endAll()
  }

  async #run(command: BoxedCommand, path: string, stdoutFd: number): Promise<BoxedEnd> {
    const { mark, cage, box, log } = this.#options
    const ended = Promise.withResolvers<Ending>()
    const name = `command.${this.#count}`
    const process = new WrappedProcess({
      folder: new AttemptFolder(path),
      ...{ mark, cage, box, boxed: name },
      onEnd: (ending) => ended.resolve(ending),
    })
    const running = { process, stopped: false }
    this.#running = running
    let isLate = false
    const { timeout_ms } = command
    const takeBack =
      timeout_ms === undefined
        ? () => undefined
        : callAt(Date.now() + timeout_ms, () => {
            isLate = true
            void process.stop(GRACE_MS).then(() => ended.resolve({ type: 'stopped' }))
          })
    try {
      process.begin(this.#launch(command, name), 1, { stdoutFd, stderrFd: log.stderrFd })
      const ending = await ended.promise
      takeBack()
      // Nothing of it continues beside the next one.
      await (isLate || running.stopped ? process.stop(0) : process.sweep())
      if (running.stopped) return { type: 'stopped' }
      return isLate ? { type: 'timed_out' } : endOf(ending)
    } finally {
      takeBack()
      this.#running = undefined
    }
  }

  #launch(
    { argv, cwd, env = {}, offline, writable = [], readable = [] }: BoxedCommand,
    name: string,
  ): Launch {
    const { box, workspace, readable: beside, environment } = this.#options
    const work = workspace()
    const launch = { argv, cwd: cwd ?? work, env: environment(env) }
    if (!box) return launch
    const mounts: BoxMounts = {
      writable: [work, ...writable],
      readable: [...beside(), ...readable],
      ...(offline && { offline: true as const }),
    }
    return box.enclose(launch, mounts, name)
  }
}

function endOf(ending: Ending): BoxedEnd {
  switch (ending.type) {
    case 'exited':
      return { type: 'exited', code: ending.code }
    case 'signaled':
      return { type: 'signaled', signal: ending.signal }
    case 'start_failed':
      return { type: 'not_started', message: ending.message }
    case 'lost':
      return { type: 'not_started', message: ending.why }
    case 'action_failed':
      return { type: 'not_started', message: ending.message }
    case 'done':
    case 'stopped':
      return { type: 'stopped' }
  }
}
