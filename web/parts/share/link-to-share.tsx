import { useEffect, useState } from 'react'
import { copyText } from '../copy-button.tsx'

/** A link that is copied at once, with whether it was; it stands there whole, to be copied by hand where a browser lets no page do so. */
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
        {copied === true && 'The link is copied.'}
        {copied === false && 'The link could not be copied. Select it and copy it yourself.'}
      </p>
    </div>
  )
}
