import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { DEFAULT_TENANT } from '../../hub/auth/first-admin.ts'
import { lostDatabase } from '../../hub/store/lost-database.ts'
import { DatabaseReader } from '../../hub/store/sqlite/snapshot.ts'
import { lockHolder } from '../pid-lock.ts'
import { type Check, type Finding, ok, type Place, problem, warning } from './check.ts'

export const hubDatabase: Check = {
  name: 'database',
  async run({ data }: Place) {
    const lost = lostDatabase(data)
    if (lost !== undefined) return [problem(lost.message, lost.hint!)]
    const file = join(data, 'errand.db')
    if (!existsSync(file)) return []
    let reader: DatabaseReader | undefined
    try {
      reader = new DatabaseReader(file)
      reader.checkForm()
      const damage = reader.damage()
      if (damage.length > 0)
        return [
          problem(
            `The database ${file} is damaged: ${damage.join('; ')}.`,
            'Stop the hub, keep a copy of the data folder, and restore a backup (docs/operations.md).',
          ),
        ]
      return [ok(`The database ${file} is whole, and one for this version.`), ...separation(data, reader)]
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/operations.md.')]
    } finally {
      reader?.close()
    }
  },
}

/** The hub's own runner carries out steps as the hub's user, who can read all that the hub has. */
function separation(data: string, reader: DatabaseReader): Finding[] {
  if (!lockHolder(join(data, 'runner', 'lock'))?.alive) return []
  const users = reader.countUsers(DEFAULT_TENANT)
  if (users === 0) return []
  return [
    warning(
      `Nothing separates the steps of ${users} ${users === 1 ? 'user' : 'users'} from this hub: its own runner carries them out as the hub's user, who can read its admin token.`,
      'With users that you trust less than an admin: errand up --no-runner, and runners as another user or on other machines.',
    ),
  ]
}
