import '../ui/base.css'
import { Shell, show } from '../ui/shell'
show(<Shell title="…">{null}</Shell>, (t) => t.library.title)
