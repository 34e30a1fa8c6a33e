import { type Check, ok, problem } from './check.ts'

const LEAST = 24

export const nodeVersion: Check = {
  name: 'node',
  async run() {
    const { version, execPath } = process
    if (Number(version.slice(1).split('.')[0]) >= LEAST) return [ok(`Node ${version} (${execPath})`)]
    return [
      problem(
        `Node ${version} is too old.`,
        `Install Node ${LEAST} or newer, or run "npm install" in the folder of Errand, which brings its own.`,
      ),
    ]
  },
}
