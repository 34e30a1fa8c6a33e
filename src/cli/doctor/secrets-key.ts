import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { KeyRing } from '../../hub/secrets/key-ring.ts'
import { DatabaseReader } from '../../hub/store/sqlite/snapshot.ts'
import { type Check, ok, type Place, problem } from './check.ts'

export const secretsKey: Check = {
  name: 'secrets',
  async run({ data, env }: Place) {
    const database = join(data, 'errand.db')
    if (!existsSync(database)) return []
    const sealedWith = keysOf(database)
    if (sealedWith === undefined) return []
    try {
      const ring = new KeyRing({ env, file: join(data, 'secrets.key') })
      if (sealedWith.length === 0 && !ring.given) return [ok('The hub here keeps no secrets.')]
      const { all, from } = ring.keys({ make: false })
      if (sealedWith.every((id) => all.some((key) => key.id === id)))
        return [ok(`The key of the secrets is in ${from}.`)]
      return [
        problem(
          `Some secrets of the hub here were sealed with another key than that in ${from}.`,
          'Put that key behind the one that is there, on a line of its own, or set those secrets again.',
        ),
      ]
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/secrets.md.')]
    }
  },
}

/** Undefined where it cannot be read, which the check of the database tells. */
function keysOf(database: string): string[] | undefined {
  let reader: DatabaseReader | undefined
  try {
    reader = new DatabaseReader(database)
    reader.checkForm()
    return reader.keyIds()
  } catch {
    return undefined
  } finally {
    reader?.close()
  }
}
