import type { InstanceKey } from '../../contract/runs/retry.ts'

/** Instances of a step by host and item. Each is found once, since several may be alike. */
export class InstanceSet<T extends InstanceKey> {
  readonly #left = new Map<string, T[]>()

  constructor(instances: readonly T[]) {
    for (const instance of instances) {
      const key = keyOf(instance)
      const alike = this.#left.get(key)
      if (alike) alike.push(instance)
      else this.#left.set(key, [instance])
    }
  }

  /** Removes and returns the first instance that is like this one; undefined when none is left. */
  take(like: InstanceKey): T | undefined {
    return this.#left.get(keyOf(like))?.shift()
  }
}

const keyOf = ({ host, vars }: InstanceKey): string =>
  JSON.stringify([host, Object.entries(vars ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))])
