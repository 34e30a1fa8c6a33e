import type { GivenInput } from '../contract/agent.ts'
import { newRunId } from '../contract/ids.ts'
import type { Workflow } from '../contract/workflow.ts'
import type { Problem } from '../engine/file/problem.ts'
import type { GivenSecrets } from '../engine/given-secrets.ts'
import type { RunStore, StepHost } from '../engine/ports.ts'
import { MemoryRunStore } from '../hub/store/memory.ts'
import { checkApproved } from './approved-steps.ts'
import { Approver } from './approver.ts'
import { engineHere } from './engine-here.ts'
import { exitCodes } from './exit-codes.ts'
import { follow } from './follow.ts'
import { keyValues } from './key-values.ts'
import { keepSecretsIn } from './local-sessions.ts'
import { colorChoice } from './run-options.ts'
import { dropOldSpills, spillFolder } from './spill-folder.ts'
import { openStateFolder } from './state-folder.ts'
import { setOutputPath, shownBytes } from './workflow-outputs.ts'
import { problemsText, tellProblems } from './workflow-problems.ts'
import { readSource, type WorkflowSource } from './workflow-source.ts'

export interface HereOptions {
  var?: string[]
  'run-id'?: string
  'output-path'?: string
  yes?: boolean
  approve?: string[]
  json?: boolean
  verbose?: boolean
  color?: string
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
  const vars = keyValues('--var', options.var)
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
  const { checkedWorkflow } = await import('./checked-workflow.ts')
  const checked = checkedWorkflow(source, hosts?.names)
  checkApproved(approve ?? [], checked)
  const workflow = hosts === undefined ? checked : hosts.fit(checked, vars)
  return { workflow: folder === undefined ? workflow : setOutputPath(workflow, folder) }
}
