import { hash } from 'node:crypto'
import { ErrandError } from '../../contract/errors.ts'
import { newTaskId, randomText } from '../../contract/ids.ts'
import { agentFaults, type Task } from '../../contract/tasks/task.ts'
import type { TaskRecord, TaskSpec } from '../../contract/tasks/task-record.ts'
import { differences, findCircle, keyOf, readTaskRef, repositoryKey } from '../../engine/tasks/task-graph.ts'
import { credentialText } from '../../engine/workflow-file/check-secrets.ts'
import { MOST_FAULTS } from '../../engine/workflow-file/issue-messages.ts'
import type { TaskStore } from '../../stores/tasks/task-store.ts'

/** The person who asks, and what that person may see. */
export interface Requester {
  owner: string
  tenant: string
  /** True if the person sees all tasks of the tenant. */
  isAdmin: boolean
}

/** Tasks that were submitted together. */
export interface NewTasks {
  tasks: readonly Task[]
  /** Name of the field in messages: `body.task`, or `body.tasks`, where the index of each task is added. */
  field: string
  limit?: number
  /** Derives the ids of tasks without one, so that a repeat gets the same ids. */
  key?: string
  now: number
}

interface Fault {
  field: string
  message: string
  hint?: string
}

/** Describes each task to store, in the given order. `there` is set if the same task is stored already. */
export type PlannedTask = { spec: TaskSpec; there?: TaskRecord }

/**
 * Turns tasks that were submitted together into those to store, with ids, dependencies and repositories. Throws
 * `task_invalid` with the first faults, and `task_exists` if names are taken by other tasks.
 */
export async function planTasks(
  store: Pick<TaskStore, 'find' | 'get'>,
  by: Requester,
  input: NewTasks,
): Promise<PlannedTask[]> {
  const { tenant, owner } = by
  const created_at = new Date(input.now).toISOString()
  const batch = input.limit === undefined ? undefined : { id: randomText(12), limit: input.limit }
  const place = (index: number, rest = ''): string =>
    (input.field === 'body.task' ? input.field : `${input.field}[${index}]`) + rest
  const faults: Fault[] = []

  const named = input.tasks.map((task, index) => ({ task, own_id: task.task_id ?? madeId(by, input, index) }))
  const first = new Map<string, number>()
  named.forEach(({ task, own_id }, index) => {
    const before = first.get(keyOf(task.spec_name, own_id))
    if (before === undefined) first.set(keyOf(task.spec_name, own_id), index)
    else
      faults.push({
        field: place(index, '.task_id'),
        message: `"${own_id}" is already the id of ${place(before)}`,
      })
    if (task.follow && !opensPull(task))
      faults.push({
        field: place(index, '.follow'),
        message: 'needs a pull request, but the task opens none',
        hint: 'Remove it, or remove "push: false" and "pull_request: false".',
      })
    faults.push(
      ...[...agentFaults(task), ...credentialsIn(task)].map((fault) => ({
        ...fault,
        field: place(index, fault.field),
      })),
    )
    if (task.slot_id !== undefined && task.slot_path === undefined)
      faults.push({
        field: place(index, '.slot_id'),
        message: 'names a slot, but slot_path does not say where it is',
        hint: 'Set slot_path too, or omit both so that a pool provides them.',
      })
    if (repositoryOf(task) === undefined)
      faults.push({
        field: place(index, '.repo_url'),
        message: 'is missing: the task names no repository',
        hint: 'Write it as "repo_url": "https://forge.example/owner/repository".',
      })
  })

  const there = await Promise.all(
    named.map(({ task, own_id }) => store.find({ tenant, spec_name: task.spec_name, own_id })),
  )
  // In the order of the file, because ids sort by time.
  const ids = named.map((_, index) => there[index]?.id ?? newTaskId(input.now + index))
  const depends: string[][] = []
  for (const [index, { task }] of named.entries()) {
    const found: string[] = []
    for (const [at, text] of task.dependencies.entries()) {
      const id = await dependencyOf(text, task.spec_name)
      if (id !== undefined) found.push(id)
      else
        faults.push({
          field: place(index, `.dependencies[${at}]`),
          message: `task "${text}" not found`,
          hint: `Name a task of the spec "${task.spec_name}" by its task_id, and others as spec/id or task_….`,
        })
    }
    depends.push([...new Set(found)])
  }

  const names = new Map(ids.map((id, index) => [id, named[index]!.own_id]))
  const circle = findCircle(ids, (id) => depends[ids.indexOf(id)] ?? [])
  if (circle !== undefined)
    faults.push({
      field: input.field,
      message: `the dependencies form a cycle: ${circle.map((id) => names.get(id) ?? id).join(' → ')}`,
      hint: 'Remove one of these dependencies.',
    })
  if (faults.length > 0) throw invalid(faults)
  refuseTaken(named, there, owner)

  return named.map(({ task, own_id }, index) => ({
    there: there[index],
    spec: {
      ...{ id: ids[index]!, tenant, owner, own_id, spec_name: task.spec_name, title: task.title },
      ...{ repo: repositoryKey(repositoryOf(task) ?? ''), task, depends_on: depends[index]! },
      ...{ batch, priority: task.priority, created_at },
    },
  }))

  async function dependencyOf(text: string, spec_name: string): Promise<string | undefined> {
    const ref = readTaskRef(text, spec_name)
    if (!('id' in ref)) {
      const index = first.get(keyOf(ref.spec_name, ref.own_id))
      if (index !== undefined) return ids[index]
    }
    const record = 'id' in ref ? await store.get(ref.id) : await store.find({ tenant, ...ref })
    return record !== undefined && maySeeTask(by, record) ? record.id : undefined
  }
}

export const maySeeTask = (by: Requester, { tenant, owner }: Pick<TaskRecord, 'tenant' | 'owner'>): boolean =>
  tenant === by.tenant && (by.isAdmin || owner === by.owner)

/** Returns the repository of a task. Older systems name it in the task's metadata instead. */
export function repositoryOf({ repo_url, metadata }: Task): string | undefined {
  const repoUrl = metadata.repo_url
  return repo_url ?? (typeof repoUrl === 'string' && repoUrl !== '' ? repoUrl : undefined)
}

export const opensPull = ({ push, pull_request }: Task): boolean => push && pull_request !== false

/** Finds credentials in a task. It must not contain any, because it is stored and shown as submitted. */
function credentialsIn(task: Task): Fault[] {
  const faults: Fault[] = []
  for (const [name, value] of Object.entries(task.env ?? {}))
    if (credentialText(name, value) !== undefined)
      faults.push({
        field: `.env.${name}`,
        message: 'contains a credential, which would be stored and shown with the task',
        hint: `Store it with: errand secrets set ${name}, and name it in "secrets".`,
      })
  const url = repositoryOf(task) ?? ''
  if (URL.canParse(url) && new URL(url).password !== '')
    faults.push({
      field: '.repo_url',
      message: 'contains a password, which would be stored and shown with the task',
      hint: 'Remove it. The hub takes the tokens of repositories from its secrets.',
    })
  return faults
}

/** Returns a task id that is the same for the same key and position in the file. */
function madeId({ tenant, owner }: Requester, { key }: NewTasks, index: number): string {
  if (key === undefined) return `t${randomText(12)}`
  return `t${hash('sha256', JSON.stringify([tenant, owner, key, index])).slice(0, 16)}`
}

function invalid(faults: readonly Fault[]): ErrandError {
  const [first] = faults
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''
  return new ErrandError('task_invalid', `${first!.field}: ${first!.message}${more}.`, {
    hint: first!.hint ?? 'Nothing was saved. The fields are described at /docs.',
    details: faults.slice(0, MOST_FAULTS),
  })
}

interface Taken {
  task_id: string
  spec_name: string
  id?: string
  differ?: string[]
}

/** Throws `task_exists` for names under which another task is stored. */
function refuseTaken(
  named: readonly { task: Task; own_id: string }[],
  there: readonly (TaskRecord | undefined)[],
  owner: string,
): void {
  const taken = named.flatMap(({ task, own_id }, index): Taken[] => {
    const record = there[index]
    if (record === undefined) return []
    // Its content is only revealed to its owner.
    if (record.owner !== owner) return [{ task_id: own_id, spec_name: task.spec_name }]
    const differ = differences(task, record.task)
    return differ.length === 0 ? [] : [{ id: record.id, task_id: own_id, spec_name: task.spec_name, differ }]
  })
  const [one] = taken
  if (one === undefined) return
  const fields = one.differ ? ` and differs in ${one.differ.join(', ')}` : ''
  const more = taken.length > 1 ? ` (and ${taken.length - 1} more)` : ''
  throw new ErrandError(
    'task_exists',
    `Task "${one.task_id}" of "${one.spec_name}" already exists${fields}${more}.`,
    { hint: 'A repeated request must be the same. Give a new task another task_id.', details: taken },
  )
}
