import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { GivenInput } from '../../contract/agent.ts'
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
import { problemsText, readSource, tellProblems, type WorkflowSource } from '../workflow-source.ts'
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
  /** The least box of its steps. */
  box?: BoxAsk
  /** Folder that keeps the run, so that it can be taken up again. */
  state?: string
  /** Id of the run in that folder to go on with. */
  resume?: string
}

/** How a command fits a workflow to the hosts that it has. */
export interface FitToHosts {
  /** Names that targets may have beside those of the inventory. */
  names: readonly string[]
  /** Throws where a host cannot be used. */
  fit(workflow: Workflow, vars: Readonly<Record<string, string>>): Workflow
  /** Told once the run is there, before anything of it is shown. */
  begins(runId: string): void
}

/** Runs a workflow file with an engine in this process, on the given hosts. Answers the exit code. */
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
      const kept = await store.get(runId)
      if (kept !== undefined) checkApproved(options.approve ?? [], kept.workflow as Workflow)
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
    // A run that its store can no longer keep ends in no event, only here.
    const lost = new AbortController()
    engine.done(runId).catch((error: unknown) => lost.abort(error))
    const run = {
      runId,
      events: (id: string) => engine.watch(id, 0, lost.signal),
      cancel: (force: boolean) => engine.cancel(runId, { force }),
      give: (id: string, input: GivenInput, attempt: number) => engine.input(id, input, { attempt }),
      view: () => engine.view(runId),
    }
    const exitCode = await follow(run, {
      json: options.json ?? false,
      color,
      verbose: options.verbose,
      approver,
      maxBytes: shownBytes(record?.workflow),
      wholeOutput: (_attempt, stream) => `give it a folder with --output-path to keep ${stream}`,
      allRows: () => '--verbose',
    })
    lost.signal.throwIfAborted()
    if (options.state === undefined) dropOldSpills(spill, runId)
    return exitCode
  } catch (error) {
    if (source !== undefined && tellProblems(error, source, options.json)) return exitCodes.usage
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
  /** Ends what the host still carries out, and closes host and store too. */
  close(): Promise<void>
}

/** An engine in this process, for one command. A run that its store can no longer keep is given up. */
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

const KEPT_DAYS = 7

/** Where output goes that outgrows `max_output_bytes` and was given no folder. */
const spillFolder = (state: string | undefined): string => join(state ?? errandHome(), 'output')

/** After a run that left something there: what older runs left goes. */
function dropOldSpills(folder: string, runId: string): void {
  if (!existsSync(join(folder, runId))) return
  const oldestMs = Date.now() - KEPT_DAYS * 24 * 60 * 60 * 1000
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    const stat = statSync(path, { throwIfNoEntry: false })
    // Another run may be doing the same.
    if (stat !== undefined && stat.mtimeMs < oldestMs) rmSync(path, { recursive: true, force: true })
  }
}
