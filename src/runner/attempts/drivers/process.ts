import { writeFileSync } from 'node:fs'
import type { AttemptSpec } from '../../../contract/attempt.ts'
import { ErrandError, messageOf, messageWithHint } from '../../../contract/errors.ts'
import type { Action, ProcessPlan } from '../../ports.ts'
import type { Launch } from '../../sandbox/launch.ts'
import { adopt } from '../adopt.ts'
import type { AttemptFiles } from '../attempt-files.ts'
import { noDescriptors } from '../attempt-folder.ts'
import type { Driven, Driver, DriverKind, Swept } from '../driver.ts'
import { launchOf, processEnvironment } from '../launch.ts'
import type { SizeWatch } from '../size-watch.ts'
import type { Ending } from '../verdict.ts'
import type { Workspaces } from '../workspaces.ts'
import { type FoundWrapper, WrappedProcess } from '../wrapped-process.ts'

export interface ProcessDriversOptions {
  workspaces: Workspaces
  /** Variables of this machine's environment that commands get. */
  env: Readonly<Record<string, string>>
  /** Watches the output sizes of commands. */
  sizes: SizeWatch
}

/**
 * Makes the drivers for commands: each is a process that writes into its attempt's folder, and so outlives this one.
 */
export function processDrivers(options: ProcessDriversOptions): DriverKind {
  return {
    exportsVars(action, spec) {
      try {
        return planOf(action, spec).export_vars
      } catch {
        return false
      }
    },
    driver: (attempt, files, action) => new ProcessDriver(attempt, files, action, options),
  }
}

class ProcessDriver implements Driver {
  readonly #attempt: Driven
  readonly #files: AttemptFiles
  readonly #action: () => Action
  readonly #options: ProcessDriversOptions
  readonly #process: WrappedProcess
  #left = false

  constructor(attempt: Driven, files: AttemptFiles, action: () => Action, options: ProcessDriversOptions) {
    const { folder, mark, cage, box } = files
    this.#attempt = attempt
    this.#files = files
    this.#action = action
    this.#options = options
    const onEnd = (ending: Ending, endedAtMs?: number) => void attempt.finish(ending, { endedAtMs })
    this.#process = new WrappedProcess({ folder, mark, cage, box, onEnd })
  }

  begin(): void {
    this.#inBox(1)
  }

  async recover(): Promise<void> {
    const attempt = this.#attempt
    const bereft = {
      mark: this.#files.mark,
      get cause() {
        return attempt.cause
      },
      watch: (wrapper: FoundWrapper, startedAtMs: number) => this.#watch(wrapper, startedAtMs),
      settle: (wrapperPid: number) => this.#process.settle(wrapperPid),
      finish: (ending: Ending) => attempt.finish(ending),
    }
    try {
      await adopt(bereft, this.#files.folder, (claim) => this.#inBox(claim))
    } catch (error) {
      if (noDescriptors(error)) throw error
      await this.kill()
      await attempt.finish({
        type: 'lost',
        why: `What it left behind could not be read: ${messageOf(error)}.`,
      })
    }
  }

  poll(): boolean {
    this.#process.poll()
    return false
  }

  stop(graceMs: number): void {
    void this.#process.stop(graceMs).then(() => this.#attempt.finish(this.#process.endingFound()))
  }

  async sweep(ending: Ending): Promise<Swept> {
    if (ending.type === 'start_failed') return { survives: (await this.#files.box?.end()) === false }
    // Past a limit nothing may survive, not even processes that have left the group.
    const isFailed = this.#attempt.cause?.type === 'failed'
    const gone = await (isFailed ? this.#process.stop(0) : this.#process.sweep())
    const inside = isFailed ? await this.#files.box?.end() : true
    return { survives: gone === false || inside === false }
  }

  usage() {
    const { cage, folder } = this.#files
    return cage.usage(folder.exit()?.cpuMs)
  }

  async kill(): Promise<void> {
    await this.#process.endAll()
  }

  leave(): void {
    this.#left = true
    this.#process.unref()
  }

  /** Begins under this claim, once its box is there. */
  #inBox(claim: number): void {
    const { box } = this.#files
    if (!box) {
      this.#begin(claim)
      return
    }
    void box.prepare().then(
      () => {
        // If it was ended meanwhile, it does not begin; if it was left, a later process begins it.
        if (this.#attempt.cause === undefined && !this.#left) this.#begin(claim)
      },
      (error) => {
        if (!this.#left) void this.#attempt.finish({ type: 'start_failed', message: messageWithHint(error) })
      },
    )
  }

  #begin(claim: number): void {
    const { facts, secrets } = this.#files
    let plan: ProcessPlan
    try {
      plan = planOf(this.#action(), secrets?.filledSpec ?? facts.spec)
    } catch (error) {
      const { code, message } = error as ErrandError
      const reason = code === 'invalid_argument' ? 'invalid_argument' : 'action_failed'
      return void this.#attempt.finish({ type: 'action_failed', reason, message })
    }
    let launch: Launch
    try {
      launch = this.#launch(plan)
    } catch (error) {
      const message =
        error instanceof ErrandError
          ? messageWithHint(error)
          : `The workspace could not be created: ${(error as Error).message}.`
      return void this.#attempt.finish({ type: 'start_failed', message })
    }
    const { stdout, stderr } = this.#files.output.files
    const streams = { script: plan.script, stdoutFd: stdout.fd, stderrFd: stderr.fd }
    this.#files.output.watch(this.#options.sizes)
    const pid = this.#process.begin(launch, claim, streams)
    if (pid !== undefined) this.#attempt.running(pid, Date.now())
  }

  /** Watches a process that an earlier runner started. */
  #watch(wrapper: FoundWrapper, startedAtMs: number): void {
    this.#process.watch(wrapper)
    this.#files.output.watch(this.#options.sizes)
    this.#attempt.running(wrapper.pid, startedAtMs)
    this.#attempt.stopAsOrdered()
  }

  #launch(plan: ProcessPlan): Launch {
    const { facts, secrets } = this.#files
    const { env, workspaces } = this.#options
    const workspace = workspaces.create(facts.spec.run_id)
    const own = { ...plan.env, ...secrets?.env }
    const launch = launchOf(plan, workspace, processEnvironment(env, own, facts.spec, facts.key))
    const { box, folder } = this.#files
    if (!box) return launch
    const readable = [...(secrets?.files ?? []), ...workspaces.readable(facts.spec.run_id)]
    if (plan.script !== undefined) {
      const file = folder.file('script')
      writeFileSync(file, plan.script, { mode: 0o600 })
      readable.push(file)
    }
    return box.enclose(launch, { writable: [workspace], readable }, 'main')
  }
}

/** Returns the plan of an action. Throws if it cannot run, or is not a process any more. */
function planOf(action: Action, spec: AttemptSpec): ProcessPlan {
  if (action.kind !== 'process') throw new Error(`"${spec.action}" is no longer a process.`)
  return action.prepare(spec)
}
