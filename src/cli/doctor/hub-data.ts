import { existsSync, mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { DEFAULT_TENANT } from '../../hub/auth/tokens.ts'
import { lockHolder } from '../../platform/pid-lock.ts'
import { KeyRing } from '../../stores/secrets/key-ring.ts'
import { lostDatabase } from '../../stores/sqlite/open.ts'
import { DatabaseReader } from '../../stores/sqlite/snapshot.ts'
import { bytesText } from '../render/table.ts'
import { type Check, type CheckContext, type Finding, ok, problem, warning } from './check.ts'

export const hubDatabase: Check = {
  name: 'database',
  async run({ data }: CheckContext) {
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
      return [ok(`The database ${file} is intact and fits this version.`), ...separation(data, reader)]
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/operations.md.')]
    } finally {
      reader?.close()
    }
  },
}

/** Warns if the hub's own runner runs steps as the hub's user, who can read all data of the hub. */
function separation(data: string, reader: DatabaseReader): Finding[] {
  if (!lockHolder(join(data, 'runner', 'lock'))?.alive) return []
  const users = reader.countUsers(DEFAULT_TENANT)
  if (users === 0) return []
  return [
    warning(
      `Nothing separates the steps of ${users} ${users === 1 ? 'user' : 'users'} from this hub: its own runner runs them as the hub's user, who can read its admin token.`,
      'If you trust users less than an admin, use errand up --no-runner, and start runners as another user or on other machines.',
    ),
  ]
}

const LITTLE_BYTES = 1024 ** 3
const TOO_LITTLE_BYTES = 100 * 1024 ** 2

export const dataFolders: Check = {
  name: 'folders',
  async run({ data, workspace }: CheckContext) {
    return [...look('data folder', data, '--data'), ...look('workspace', workspace, '--workspace')]
  },
}

/** Checks a folder; for one that does not exist yet, checks the folder in which it would be made. */
function look(what: string, folder: string, option: string): Finding[] {
  let place = folder
  while (!existsSync(place) && dirname(place) !== place) place = dirname(place)
  const fix = `Make it writable for this user, or name another with ${option}.`
  try {
    if (!statSync(place).isDirectory()) return [problem(`The ${what} ${folder}: ${place} is a file.`, fix)]
    rmSync(mkdtempSync(join(place, '.errand-doctor-')), { recursive: true })
  } catch (error) {
    return [problem(`The ${what} ${folder} is not writable: ${(error as Error).message}.`, fix)]
  }
  const findings = [spaceAt(what, place)]
  if (place === folder && (statSync(place).mode & 0o077) !== 0)
    findings.push(warning(`Other users can read the ${what} ${folder}.`, `chmod 700 ${folder}`))
  return findings
}

function spaceAt(what: string, place: string): Finding {
  const { bavail, bsize } = statfsSync(place)
  const free = bavail * bsize
  const text = `The ${what} ${place} is writable, with ${bytesText(free)} free.`
  const fix = 'Free some space, or keep ended runs for less time (--retention).'
  if (free < TOO_LITTLE_BYTES) return problem(text, fix)
  return free < LITTLE_BYTES ? warning(text, fix) : ok(text)
}

export const secretsKey: Check = {
  name: 'secrets',
  async run({ data, env }: CheckContext) {
    const database = join(data, 'errand.db')
    if (!existsSync(database)) return []
    const sealedWith = keysOf(database)
    if (sealedWith === undefined) return []
    try {
      const ring = new KeyRing({ env, file: join(data, 'secrets.key') })
      if (sealedWith.length === 0 && !ring.isConfigured) return [ok('The hub here has no secrets.')]
      const { all, from } = ring.keys({ make: false })
      if (sealedWith.every((id) => all.some((key) => key.id === id)))
        return [ok(`The key of the secrets is in ${from}.`)]
      return [
        problem(
          `Some secrets of the hub here were sealed with a key that is not in ${from}.`,
          'Add that key on its own line after the existing one, or set those secrets again.',
        ),
      ]
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return [problem(error.message, error.hint ?? 'See docs/secrets.md.')]
    }
  },
}

/** Returns the ids of the keys in use; undefined if the database cannot be read, which another check reports. */
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

export const staleLocks: Check = {
  name: 'locks',
  async run({ data, workspace }: CheckContext) {
    const files = [join(data, 'lock'), join(workspace, 'lock')]
    const stale = files.flatMap((file) => {
      const holder = lockHolder(file)
      return holder !== undefined && !holder.alive ? [{ file, pid: holder.pid }] : []
    })
    if (stale.length === 0) return [ok('There are no stale locks.')]
    return stale.map(({ file, pid }) =>
      warning(
        `${file} was left by process ${pid}, which did not end cleanly.`,
        'Nothing needs to be done: the next start takes it over and resumes what was running.',
      ),
    )
  },
}
