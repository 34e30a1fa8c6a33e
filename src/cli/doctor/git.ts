import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Check, ok, warning } from './check.ts'

export const git: Check = {
  name: 'git',
  async run() {
    try {
      const { stdout } = await promisify(execFile)('git', ['--version'])
      return [ok(stdout.trim())]
    } catch {
      return [
        warning(
          'git is not installed.',
          'Install it (apt-get install git) for steps that work on repositories.',
        ),
      ]
    }
  },
}
