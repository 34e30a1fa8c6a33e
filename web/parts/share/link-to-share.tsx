import { useEffect, useState } from 'react'
import { copyText } from '../copy-button.tsx'

/**
 * Copies a link at once and says whether that worked. The link is shown in full, for browsers in which a person must
 * copy it by hand.
 */
export function LinkToShare({ link }: { link: string }) {
  const [copied, setCopied] = useState<boolean>()
  const copy = () => void copyText(link).then(setCopied)
  useEffect(() => void copyText(link).then(setCopied), [link])
  return (
    <div className="mb-3">
      <div className="flex gap-2">
        <input
          aria-label="Link"
          className="field min-w-0 flex-1 font-mono text-meta"
          readOnly
          value={link}
          onFocus={({ target }) => target.select()}
        />
        <button type="button" className="button" onClick={copy}>
          Copy link
        </button>
      </div>
      <p role="status" className="mt-1 min-h-[18px] text-meta text-ink2">
        {copied === true && 'Link copied.'}
        {copied === false && 'Could not copy the link. Select it and copy it yourself.'}
      </p>
    </div>
  )
}
