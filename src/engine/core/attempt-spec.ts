import type { AttemptLimits, AttemptSpec, NeededArtifact } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { attemptId } from '../../contract/ids.ts'
import { askAfter, type BoxAsk, strictestAsk } from '../../contract/isolation.ts'
import { environmentSecrets, secretMark, secretUses } from '../../contract/step-secrets.ts'
import type { Artifact, NeededFile } from '../../contract/tasks/artifact.ts'
import type { Step, Workflow } from '../../contract/workflow.ts'
import { globPattern } from '../../platform/untrusted-input.ts'
import { fillArgs, type Lookup } from '../workflow-file/template.ts'
import { isLastTry } from './attempt-result.ts'
import { instanceEnv, type RunNames } from './lookup.ts'
import { bytesOf, type Plan, type PlannedStep, reserved } from './plan.ts'
import type { InstanceState, RunState } from './state.ts'

/** Returns the inventory's requirements for the runner of a host's steps. */
export function requirementsOf(workflow: Workflow, name: string): AttemptSpec['requires'] {
  const { runner, group, labels } = workflow.inventory?.hosts[name] ?? {}
  return { runner, group, labels }
}

/** Returns what a machine is given for a try of an instance. Throws `unset_variable`, `invalid_argument`. */
export function attemptSpec(
  plan: Plan,
  state: RunState,
  names: RunNames,
  planned: PlannedStep,
  at: { number: number; instance: number; try: number },
): AttemptSpec {
  const { step } = planned
  const instance = state[planned.phase][planned.index]!.instances[at.instance]!
  const secrets = step.secrets && secretUses(step.secrets)
  const secretNames = environmentSecrets(secrets)
  const { env, lookup } = instanceEnv(plan, state, names, planned, instance, secretNames)
  const host = plan.workflow.inventory?.hosts[instance.host] ?? {}
  return {
    attempt_id: attemptId(names.run_id, at.number),
    run_id: names.run_id,
    workflow_name: plan.workflow.name,
    owner: names.of?.owner,
    tenant: names.of?.tenant,
    repository: names.of?.repository,
    step: step.name,
    host: instance.host,
    instance: at.instance,
    try: at.try,
    action: step.action,
    args: secrets
      ? argsWithMarks(step.args, planned.raw, lookup, secretNames, step.env)
      : fillArgs(step.args, planned.raw, lookup),
    env,
    outputs: step.outputs,
    artifacts: step.artifacts,
    needs_files: step.needs_files?.flatMap((needed) => neededArtifacts(state, needed)),
    timeout_ms: step.timeout_seconds === undefined ? undefined : step.timeout_seconds * 1000,
    on_disconnect: step.on_disconnect ?? (isLastTry(step, at.try) ? undefined : 'stop'),
    secrets,
    limits: limitsOf(step),
    ...strictestAsk(strictestAsk(plan.workflow, step), hadBox(state, instance)),
    requires: {
      ...requirementsOf(plan.workflow, instance.host),
      ...reserved(step),
      containers: planned.containers,
      largest: plan.largest.get(instance.host),
      boxes: plan.boxes.get(instance.host),
      // A conversation with an agent is allowed where nothing else may run.
      mode: names.of?.blueprint === 'agent' ? 'chat' : undefined,
    },
    address: host.address,
    token_env: host.token_env,
  }
}

/**
 * Returns the strictest box that earlier tries of an instance were in, with the narrowest network. Another try is in a
 * box at least as strict and reaches no more, on whatever machine.
 */
export function hadBox(state: RunState, { attempts }: Pick<InstanceState, 'attempts'>): BoxAsk {
  return attempts
    .map((number) => askAfter(state.attempts[number - 1]?.got ?? {}))
    .reduce<BoxAsk>(strictestAsk, {})
}

/**
 * Returns the artifacts that a step needs; of several with one name, the last. Throws `invalid_argument` when there is
 * none.
 */
function neededArtifacts(state: RunState, { step: from, name, glob, to }: NeededFile): NeededArtifact[] {
  const stored = new Map<string, Artifact>()
  for (const { attempts } of state.main[state.positions.main.get(from) ?? -1]?.instances ?? [])
    for (const number of attempts)
      for (const artifact of state.attempts[number - 1]?.facts?.artifacts ?? [])
        stored.set(artifact.name, artifact)
  const pattern = glob === undefined ? undefined : globPattern(glob)
  const found = [...stored.values()].filter((artifact) =>
    pattern === undefined ? artifact.name === name : pattern.test(artifact.name),
  )
  if (found.length === 0)
    throw new ErrandError(
      'invalid_argument',
      `Step "${from}" saved no file ${name ?? `that matches ${glob}`}, which this step needs. It saved ${stored.size}.`,
      { hint: `Add the file to artifacts of "${from}". To see what was saved: errand runs artifacts RUN` },
    )
  return found.map(({ artifact_id, name: file, bytes, sha256 }) => ({
    ...{ artifact_id, name: file, bytes, sha256 },
    to: glob === undefined ? (to ?? file) : to === undefined ? file : `${to.replace(/\/+$/, '')}/${file}`,
  }))
}

function limitsOf({ limits }: Step): AttemptLimits | undefined {
  if (limits === undefined) return undefined
  const { cpus, memory, processes, disk } = limits
  return { cpus, memory_bytes: bytesOf(memory), processes, disk_bytes: bytesOf(disk) }
}

/**
 * Returns the arguments of a step that has secrets, with a mark in place of each secret's value. All other NULs are
 * removed, so that no variable's value can pass for a mark. `env` holds the step's own variables, whose texts contain
 * marks and no other NUL.
 */
export function argsWithMarks(
  args: Readonly<Record<string, unknown>>,
  rawKeys: readonly string[],
  lookup: Lookup,
  secrets: readonly string[],
  env: object = {},
): Record<string, unknown> {
  const marked: Lookup = {
    get: (name) => {
      if (secrets.includes(name)) return secretMark(name)
      const value = lookup.get(name)
      return Object.hasOwn(env, name) ? value : value?.replaceAll('\0', '')
    },
    names: () => [...lookup.names(), ...secrets],
  }
  return fillArgs(withoutNuls(args) as Record<string, unknown>, rawKeys, marked)
}

function withoutNuls(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('\0', '')
  if (Array.isArray(value)) return value.map(withoutNuls)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutNuls(inner)]))
}
