import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { NewInput } from '../../contract/agent.ts'
import { newRunId } from '../../contract/ids.ts'
import type { BoxAsk } from '../../contract/isolation.ts'
import type { Workflow } from '../../contract/workflow.ts'
import { Engine } from '../../engine/engine.ts'
import type { RunStore, StepHost } from '../../engine/ports.ts'
import type { Problem } from '../../engine/workflow-file/problems.ts'
import { BoundedOutputStore } from '../../stores/outputs/bounded.ts'
import { MemoryRunStore } from '../../stores/runs/memory.ts'
import type { GivenSecrets } from '../../stores/secrets/given-secrets.ts'
import { exitCodes } from '../exit-codes.ts'
import { Approver } from '../follow/approver.ts'
import { follow } from '../follow/follow.ts'
import { variableValues } from '../option-values.ts'
import { checkApproved, colorChoice, setOutputPath, shownBytes } from '../run-options.ts'
import { productVersion } from '../version.ts'
import { problemsText, readSource, reportProblems, type WorkflowSource } from '../workflow-source.ts'
import { errandHome } from './errand-home.ts'
import { keepSecretsIn } from './local-sessions.ts'
import { openStateFolder } from './state-folder.ts'

export interface HereOptions {
  var?: string[]
  'run-id'?: string
  'output-path'?: string
  yes?: boolean
  approve?: string[]
  json?: boolean
  verbose?: boolean
  color?: string
  /** Minimum box of its steps. */
  box?: BoxAsk
  /** Folder that keeps the run, so that it can be resumed. */
  state?: string
  /** Id of the run in that folder to resume. */
  resume?: string
}

/** Fits a workflow to the hosts that a command has. */
export interface FitToHosts {
  /** Names that targets may have in addition to those of the inventory. */
  names: readonly string[]
  /** Returns the fitted workflow. Throws if a host cannot be used. */
  fit(workflow: Workflow, vars: Readonly<Record<string, string>>): Workflow
  /** Called once the run exists, before anything of it is shown. */
  begins(runId: string): void
}

/** Runs a workflow file with an engine in this process, on the given hosts. Resolves to the exit code. */
export async function conductHere(
  file: string | undefined,
  host: StepHost,
  options: HereOptions,
  secrets: GivenSecrets,
  hosts?: FitToHosts,
): Promise<number> {
  const vars = variableValues('--var', options.var)
  const color = colorChoice(options.color)
  const source = file === undefined ? undefined : await readSource(file)
  const runId = options.resume ?? options['run-id'] ?? newRunId()
  const state = options.state === undefined ? undefined : await openStateFolder(options.state, runId)
  const store: RunStore = state?.store ?? new MemoryRunStore()
  if (options.state !== undefined) await keepSecretsIn(options.state, secrets)
  const spill = spillFolder(options.state)
  const { engine, close } = engineHere(store, host, secrets, spill)
  try {
    if (source === undefined) {
      const stored = await store.get(runId)
      if (stored !== undefined) checkApproved(options.approve ?? [], stored.workflow as Workflow)
      await state!.resume(engine)
    } else
      await engine.submit({
        ...(await submission(source, options, vars, hosts)),
        run_id: runId,
        vars,
        box: options.box,
      })
    hosts?.begins(runId)
    const record = await engine.get(runId)
    const ask = !options.json && file !== '-' && process.stdout.isTTY === true && process.stdin.isTTY === true
    const approver = new Approver({
      all: options.yes ?? false,
      steps: options.approve ?? [],
      ask,
      answer: (answer, of) => engine.answer(of, answer),
    })
    // A run that its store can no longer save ends without an event; only this promise reports it.
    const lost = new AbortController()
    engine.done(runId).catch((error: unknown) => lost.abort(error))
    const run = {
      runId,
      events: (id: string) => engine.watch(id, 0, lost.signal),
      cancel: (force: boolean) => engine.cancel(runId, { force }),
      give: (id: string, input: NewInput, attempt: number) => engine.input(id, input, { attempt }),
      view: () => engine.view(runId),
    }
    const exitCode = await follow(run, {
      json: options.json ?? false,
      color,
      verbose: options.verbose,
      approver,
      maxBytes: shownBytes(record?.workflow),
      wholeOutput: (_attempt, stream) => `set a folder with --output-path to keep ${stream}`,
      allRows: () => '--verbose',
    })
    lost.signal.throwIfAborted()
    if (options.state === undefined) dropOldSpills(spill, runId)
    return exitCode
  } catch (error) {
    if (source !== undefined && reportProblems(error, source, options.json)) return exitCodes.usage
    throw error
  } finally {
    await close()
    state?.release()
  }
}

async function submission(
  source: WorkflowSource,
  options: HereOptions,
  vars: Readonly<Record<string, string>>,
  hosts: FitToHosts | undefined,
) {
  const { 'output-path': folder, approve } = options
  if (folder === undefined && approve === undefined && hosts === undefined)
    return {
      yaml: source.text,
      file: source.file ?? 'standard input',
      readFile: source.readFile,
      onWarnings: (warnings: readonly Problem[]) => process.stderr.write(problemsText(warnings, source)),
    }
  const { checkedWorkflow } = await import('../workflow-source.ts')
  const checked = checkedWorkflow(source, hosts?.names)
  checkApproved(approve ?? [], checked)
  const workflow = hosts === undefined ? checked : hosts.fit(checked, vars)
  return { workflow: folder === undefined ? workflow : setOutputPath(workflow, folder) }
}

interface EngineHere {
  engine: Engine
  /** Ends what still runs on the host, and closes engine, host and stores. */
  close(): Promise<void>
}

/** Creates an engine in this process for one command. It abandons a run that its store can no longer save. */
export function engineHere(
  store: RunStore,
  host: StepHost,
  secrets: GivenSecrets,
  spillDir: string,
): EngineHere {
  const outputs = new BoundedOutputStore({ spillDir })
  const engine = new Engine({
    store,
    host,
    outputs,
    runSecrets: secrets,
    admit: (run) => secrets.admit(run),
    concurrency: async () => (await import('./local-concurrency.ts')).openLocalConcurrency(),
    version: productVersion,
    onStoreFailure: 'abandon',
  })
  return {
    engine,
    async close() {
      for (const part of [host, engine, outputs, store]) await part.close()
    },
  }
}

const RETENTION_DAYS = 7

/** Returns the folder for output that exceeds `max_output_bytes` and has no folder of its own. */
const spillFolder = (state: string | undefined): string => join(state ?? errandHome(), 'output')

/** Removes output that is older than seven days, after a run that left some there. */
function dropOldSpills(folder: string, runId: string): void {
  if (!existsSync(join(folder, runId))) return
  const oldestMs = Date.now() - RETENTION_DAYS * 24 * 60 * 60 * 1000
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    const stat = statSync(path, { throwIfNoEntry: false })
    // Another run may be removing it at the same time.
    if (stat !== undefined && stat.mtimeMs < oldestMs) rmSync(path, { recursive: true, force: true })
  }
}
