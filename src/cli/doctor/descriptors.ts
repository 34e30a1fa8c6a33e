import { procText } from '../../platform/process-tree.ts'
import { type Check, ok, warning } from './check.ts'

/** A hub with some thousand readers and runners has one for each. */
const FEW = 4096

export const descriptors: Check = {
  name: 'descriptors',
  async run() {
    const limits = procText('self', 'limits')
    // A system without /proc.
    if (limits === undefined) return []
    // Node raises its own limit to the hard one, which is the second figure.
    const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? 'unlimited'
    if (hard === 'unlimited' || Number(hard) >= FEW) return [ok(`Open files: at most ${hard}.`)]
    return [
      warning(
        `At most ${hard} files may be open at once: too few for many runners and readers.`,
        'Raise the limit: ulimit -Hn 65536 as root, or LimitNOFILE=65536 in the systemd unit.',
      ),
    ]
  },
}
