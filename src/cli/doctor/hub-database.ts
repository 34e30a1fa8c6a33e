import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { DatabaseReader } from '../../hub/store/sqlite/snapshot.ts'
import { type Check, ok, type Place, problem } from './check.ts'

export const hubDatabase: Check = {
  name: 'database',
  async run({ data }: Place) {
    const file = join(data, 'errand.db')
    if (!existsSync(file)) return []
    let reader: DatabaseReader | undefined
    try {
      reader = new DatabaseReader(file)
      reader.checkForm()
      return [ok(`The database ${file} is one for this version.`)]
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/operations.md.')]
    } finally {
      reader?.close()
    }
  },
}
