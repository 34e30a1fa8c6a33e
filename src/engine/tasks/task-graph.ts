import type { Task } from '../../contract/tasks/task.ts'

/** The name of a task as a dependency gives it: its id, or the ids that its user chose. */
export type TaskRef = { id: string } | { spec_name: string; own_id: string }

const ID = /^task_[0-9a-v]{20}$/

/** Parses `task_…`, `spec/id`, or an id of the same spec. */
export function readTaskRef(text: string, spec_name: string): TaskRef {
  if (ID.test(text)) return { id: text }
  const slash = text.indexOf('/')
  if (slash > 0 && slash < text.length - 1)
    return { spec_name: text.slice(0, slash), own_id: text.slice(slash + 1) }
  return { spec_name, own_id: text }
}

/** Makes the key of a task in a table of tasks that are submitted together. */
export const keyOf = (spec_name: string, own_id: string): string => JSON.stringify([spec_name, own_id])

/**
 * Returns the first circle that following `next` leads into, starting and ending with its first name; undefined when
 * there is none.
 */
export function findCircle(
  names: Iterable<string>,
  next: (name: string) => readonly string[],
): string[] | undefined {
  const done = new Set<string>()
  for (const start of names) {
    if (done.has(start)) continue
    // Iterative: a chain of thousands exceeds the call stack.
    const path: { name: string; rest: string[] }[] = [{ name: start, rest: [...next(start)] }]
    const onPath = new Set([start])
    while (path.length > 0) {
      const { name, rest } = path.at(-1)!
      const other = rest.shift()
      if (other === undefined) {
        done.add(name)
        onPath.delete(name)
        path.pop()
      } else if (onPath.has(other)) {
        const from = path.findIndex((each) => each.name === other)
        return [...path.slice(from).map((each) => each.name), other]
      } else if (!done.has(other)) {
        onPath.add(other)
        path.push({ name: other, rest: [...next(other)] })
      }
    }
  }
  return undefined
}

/** Returns the paths of the fields in which two tasks differ, such as `llm`, down to their first level. */
export function differences(one: Task, other: Task): string[] {
  const keys = new Set([...Object.keys(one), ...Object.keys(other)]) as Set<keyof Task>
  return [...keys].filter((key) => sorted(one[key]) !== sorted(other[key])).sort()
}

/** Serializes a value independently of the order of its keys. */
const sorted = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  ) ?? ''

/** Normalizes a repository's address, without credentials, so that tasks of the same repository match. */
export function repositoryKey(url: string): string {
  const scp = /^(?:[^@/]+@)?([^:/]+):(?!\/\/)(.+)$/.exec(url)
  if (scp !== null && !url.includes('://')) return tidy(`ssh://${scp[1]!.toLowerCase()}/${scp[2]}`)
  if (!URL.canParse(url)) return tidy(url)
  const { protocol, host, pathname } = new URL(url)
  return tidy(`${protocol}//${host.toLowerCase()}${pathname}`)
}

const tidy = (url: string): string => url.replace(/\/+$/, '').replace(/\.git$/, '')
