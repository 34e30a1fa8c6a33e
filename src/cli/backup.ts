import { backUp } from '../hub/backup/back-up.ts'
import { command, UsageError } from './command.ts'
import { dataFolder } from './errand-home.ts'
import { jsonOption, printJson } from './print.ts'
import { productVersion } from './product-version.ts'
import { bytesText, countText } from './render/units.ts'

export const backup = command({
  summary: "Back up a hub's data folder of this machine, also while the hub is at work.",
  options: {
    to: { type: 'string', value: 'PATH', help: 'An archive (.tar, .tar.gz, .tgz), or else a folder' },
    data: { type: 'string', value: 'DIR', help: 'Data folder (default: ERRAND_DATA, ~/.errand/data)' },
    'with-key': { type: 'boolean', help: 'With the key of the secrets: who has the backup can read them' },
    ...jsonOption,
  },
  examples: [
    'errand backup --to errand-2026-01-31.tar.gz',
    'errand backup --to /mnt/backups/monday --with-key',
  ],
  async run({ to, data, 'with-key': withKey = false, json }) {
    if (to === undefined) throw new UsageError('a backup needs a place to go to', 'give it with --to')
    const made = await backUp({ data: dataFolder(data), to, withKey, version: productVersion })
    for (const name of made.damaged)
      process.stderr.write(`warning: ${name} is not what was kept there; it is backed up as it is\n`)
    if (json) printJson({ to, ...made })
    else
      process.stdout.write(
        `${to} holds ${countText(made.runs, 'run')} in ${countText(made.files, 'file')}, ${bytesText(made.bytes)}.\n` +
          (withKey ? '' : 'The key of the secrets is not in it: keep that apart (--with-key puts it in).\n'),
      )
    return 0
  },
})
