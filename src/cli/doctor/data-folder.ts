import { existsSync, mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bytesText } from '../render/units.ts'
import { type Check, type Finding, ok, type Place, problem, warning } from './check.ts'

const LITTLE_BYTES = 1024 ** 3
const TOO_LITTLE_BYTES = 100 * 1024 ** 2

export const dataFolders: Check = {
  name: 'folders',
  async run({ data, workspace }: Place) {
    return [...look('data folder', data, '--data'), ...look('workspace', workspace, '--workspace')]
  },
}

/** Of a folder that is not there yet, the one it would be made in. */
function look(what: string, folder: string, option: string): Finding[] {
  let place = folder
  while (!existsSync(place) && dirname(place) !== place) place = dirname(place)
  const fix = `Make it writable for this user, or name another with ${option}.`
  try {
    if (!statSync(place).isDirectory()) return [problem(`The ${what} ${folder}: ${place} is a file.`, fix)]
    rmSync(mkdtempSync(join(place, '.errand-doctor-')), { recursive: true })
  } catch (error) {
    return [problem(`The ${what} ${folder} cannot be written: ${(error as Error).message}.`, fix)]
  }
  const findings = [spaceAt(what, place)]
  if (place === folder && (statSync(place).mode & 0o077) !== 0)
    findings.push(warning(`Others may look into the ${what} ${folder}.`, `chmod 700 ${folder}`))
  return findings
}

function spaceAt(what: string, place: string): Finding {
  const { bavail, bsize } = statfsSync(place)
  const free = bavail * bsize
  const text = `The ${what} ${place} is writable, with ${bytesText(free)} free.`
  const fix = 'Free some space, or keep ended runs for a shorter time (--retention).'
  if (free < TOO_LITTLE_BYTES) return problem(text, fix)
  return free < LITTLE_BYTES ? warning(text, fix) : ok(text)
}
