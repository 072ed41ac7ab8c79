/*
 * What the servers refuse, in the words of the pages: by the code of a problem, for each language.
 *
 * Lives here: sentences only. The servers' own sentences are English and for technicians, so pages
 * never show them. A code without an entry of its own takes that of its family (`token` for
 * `token-expired`), else a general sentence that names the code. Apart from vi.ts and en.ts because
 * the room page needs none of it. tests/live/test_client_web.py compares the codes with the servers'.
 */
import type { Problem } from '../http'
import type { Lang } from './index'

export interface Words {
  title: string
  fix: string
}

const vi = {
  absent: {
    title: 'Máy chủ chưa sẵn sàng',
    fix: 'Xin chờ một chút rồi thử lại. Nếu chờ lâu, hãy báo người phụ trách kỹ thuật.',
  },
  'body-too-large': {
    title: 'Nội dung gửi lên quá dài',
    fix: 'Hãy đặt tên buổi học ngắn hơn rồi thử lại.',
  },
  'disk-full': {
    title: 'Máy chủ đã hết chỗ',
    fix: 'Hãy báo người phụ trách kỹ thuật, rồi gửi lại sau.',
  },
  'field-invalid': {
    title: 'Máy chủ không nhận được nội dung vừa nhập',
    fix: 'Hãy xem lại chỗ vừa nhập rồi thử lại.',
  },
  'files-full': {
    title: 'Máy chủ của trường không còn chỗ cho tệp này',
    fix: 'Hãy báo người phụ trách kỹ thuật, hoặc thử lại sau.',
  },
  'https-needed': {
    title: 'Trang này cần địa chỉ bắt đầu bằng https',
    fix: 'Hãy mở lại bằng đường dẫn được gửi cho mình.',
  },
  'internal-error': {
    title: 'Máy chủ gặp lỗi',
    fix: 'Hãy thử lại. Nếu vẫn lỗi, hãy báo người phụ trách kỹ thuật lúc xảy ra lỗi.',
  },
  'lan-closed': {
    title: 'Ở đây cần có đường dẫn riêng mới xem được',
    fix: 'Hãy xin thầy cô đường dẫn vào thư viện.',
  },
  'lesson-already-live': {
    title: 'Thầy cô khác đang dạy buổi này',
    fix: 'Hãy chờ buổi đó kết thúc, hoặc chọn buổi khác.',
  },
  'lesson-ended': {
    title: 'Buổi học này đã kết thúc',
    fix: 'Hãy chọn buổi khác, hoặc dạy ngay một buổi mới.',
  },
  'lesson-not-live': {
    title: 'Buổi học này chưa bắt đầu',
    fix: 'Hãy bấm “Bắt đầu dạy” trước.',
  },
  'lesson-not-planned': {
    title: 'Buổi học này đã bắt đầu',
    fix: 'Buổi đã bắt đầu thì không đổi hay xóa được nữa.',
  },
  'lesson-not-over': {
    title: 'Buổi học này chưa kết thúc',
    fix: 'Hãy thử lại khi buổi học đã kết thúc.',
  },
  'lesson-taken': {
    title: 'Thầy cô khác đang dạy buổi này',
    fix: 'Hãy nhờ người đó kết thúc trước, hoặc dạy một buổi mới. Trang này sẽ tự thử lại.',
  },
  'lesson-unknown': {
    title: 'Không tìm thấy buổi học này',
    fix: 'Hãy chọn buổi khác trong danh sách.',
  },
  'material-digest': {
    title: 'Tệp bị hỏng trên đường gửi',
    fix: 'Hãy bấm “Gửi lại”. Nếu vẫn vậy, hãy đóng chương trình đang mở tệp rồi chọn lại tệp.',
  },
  'material-empty': {
    title: 'Tệp này không có gì bên trong',
    fix: 'Hãy mở tệp trên máy để xem lại, lưu lại rồi chọn lần nữa.',
  },
  'material-name': {
    title: 'Tên tệp này không dùng được',
    fix: 'Hãy đổi tên tệp cho ngắn, chỉ gồm chữ, số và dấu cách, rồi chọn lại.',
  },
  'material-too-large': {
    title: 'Tệp này quá lớn',
    fix: 'Hãy lưu tệp nhỏ hơn, hoặc chia thành nhiều tệp.',
  },
  'material-type': {
    title: 'Loại tệp này không gửi được',
    fix: 'Hãy lưu thành PDF, hình, MP4 hoặc tài liệu Word, PowerPoint, Excel rồi chọn lại.',
  },
  'materials-full': {
    title: 'Buổi học đã đủ học liệu',
    fix: 'Nhiều nhất 20 tệp, và dung lượng chung có hạn. Hãy bỏ bớt tệp rồi bấm “Gửi lại”.',
  },
  'not-found': {
    title: 'Không tìm thấy',
    fix: 'Hãy mở lại đường dẫn đã nhận.',
  },
  'not-your-session': {
    title: 'Buổi phát này là của người khác',
    fix: 'Hãy tải lại trang bằng đường dẫn của mình.',
  },
  'recording-incomplete': {
    title: 'Bài này chưa tải hết về trường',
    fix: 'Hãy xem ngay trên trang, hoặc thử lại sau.',
  },
  'recording-missing': {
    title: 'Không tìm thấy bản ghi của bài này',
    fix: 'Bản ghi có thể chưa xong. Hãy thử lại sau ít phút.',
  },
  'relay-full': {
    title: 'Máy chủ của lớp đã đủ chỗ',
    fix: 'Trang tự thử lại cho đến khi có chỗ. Nếu chờ lâu, hãy báo người phụ trách kỹ thuật.',
  },
  'right-missing': {
    title: 'Đường dẫn của thầy cô không cho làm việc này',
    fix: 'Hãy xin người phụ trách kỹ thuật đường dẫn dành cho giáo viên.',
  },
  'role-not-yours': {
    title: 'Đường dẫn loại này chỉ lấy được ở máy chủ',
    fix: 'Hãy nhờ người phụ trách kỹ thuật.',
  },
  'session-gone': {
    title: 'Kết nối cũ đã hết',
    fix: 'Trang sẽ tự nối lại.',
  },
  'school-not-here': {
    title: 'Máy chủ của trường này chưa kết nối lần nào',
    fix: 'Nhờ trường bật máy chủ, cắm dây mạng, chờ một phút rồi thử lại.',
  },
  'school-unknown': {
    title: 'Trường này không có máy chủ riêng',
    fix: 'Hãy chọn trường khác trong danh sách, hoặc tạo đường dẫn không kèm tên trường.',
  },
  'session-replaced': {
    title: 'Buổi học đang được dạy ở trang khác',
    fix: 'Muốn dạy ở trang này, hãy bấm “Dạy ở đây”.',
  },
  'stale-etag': {
    title: 'Kết nối vừa thay đổi',
    fix: 'Trang sẽ tự nối lại.',
  },
  sdp: {
    title: 'Trình duyệt này và máy chủ không hiểu nhau',
    fix: 'Hãy dùng Chrome, Edge hoặc Firefox bản mới. Nếu vẫn vậy, hãy báo người phụ trách kỹ thuật.',
  },
  'unknown-material': {
    title: 'Tệp này không còn trong học liệu',
    fix: 'Danh sách vừa thay đổi. Hãy xem lại danh sách.',
  },
  'unsupported-codecs': {
    title: 'Trình duyệt này không phát được hình và tiếng mà máy chủ cần',
    fix: 'Hãy dùng Chrome, Edge hoặc Firefox bản mới.',
  },
  token: {
    title: 'Đường dẫn này không còn dùng được',
    fix: 'Hãy xin người phụ trách kỹ thuật một đường dẫn mới rồi mở lại.',
  },
  'wrong-lesson': {
    title: 'Đường dẫn này dành cho buổi học khác',
    fix: 'Hãy chọn đúng buổi học, hoặc xin người phụ trách kỹ thuật đường dẫn khác.',
  },
}

const en: Readonly<Record<keyof typeof vi, Words>> = {
  absent: {
    title: 'The server is not ready yet',
    fix: 'Wait a moment and try again. If it takes long, please tell the technician.',
  },
  'body-too-large': {
    title: 'What was sent is too long',
    fix: 'Give the lesson a shorter name and try again.',
  },
  'disk-full': {
    title: 'The server has no room left',
    fix: 'Please tell the technician, and send it again later.',
  },
  'field-invalid': {
    title: 'The server cannot take what was entered',
    fix: 'Check what you entered and try again.',
  },
  'files-full': {
    title: 'The school’s server has no room for this file',
    fix: 'Please tell the technician, or try again later.',
  },
  'https-needed': {
    title: 'This page needs an address that begins with https',
    fix: 'Open the link that was sent to you again.',
  },
  'internal-error': {
    title: 'The server made a mistake',
    fix: 'Try again. If it happens again, tell the technician when it happened.',
  },
  'lan-closed': {
    title: 'Watching here needs a link of your own',
    fix: 'Ask your teacher for the link to the library.',
  },
  'lesson-already-live': {
    title: 'Another teacher is teaching this lesson',
    fix: 'Wait until it has ended, or choose another one.',
  },
  'lesson-ended': {
    title: 'This lesson has ended',
    fix: 'Choose another one, or teach a new lesson now.',
  },
  'lesson-not-live': {
    title: 'This lesson has not begun',
    fix: 'Press “Start teaching” first.',
  },
  'lesson-not-planned': {
    title: 'This lesson has begun',
    fix: 'What has begun can no longer be changed or removed.',
  },
  'lesson-not-over': {
    title: 'This lesson is not over yet',
    fix: 'Try again when it is.',
  },
  'lesson-taken': {
    title: 'Another teacher is teaching this lesson',
    fix: 'Ask them to end it first, or teach a new lesson. This page keeps trying.',
  },
  'lesson-unknown': {
    title: 'This lesson was not found',
    fix: 'Choose another one from the list.',
  },
  'material-digest': {
    title: 'The file was spoilt on its way',
    fix: 'Press “Send again”. If it stays so, close the program that has it open and choose it again.',
  },
  'material-empty': {
    title: 'There is nothing in this file',
    fix: 'Open it on your computer, save it again, and choose it once more.',
  },
  'material-name': {
    title: 'A file cannot have this name',
    fix: 'Give it a short name of letters, digits and spaces, and choose it again.',
  },
  'material-too-large': {
    title: 'This file is too large',
    fix: 'Save it smaller, or split it into several files.',
  },
  'material-type': {
    title: 'Files of this kind are not taken',
    fix: 'Save it as PDF, picture, MP4 or as a Word, PowerPoint or Excel file, and choose that.',
  },
  'materials-full': {
    title: 'The lesson has as many materials as it can have',
    fix: 'There may be 20 files, and of limited size together. Remove some, then press “Send again”.',
  },
  'not-found': {
    title: 'Not found',
    fix: 'Open the link that you were given again.',
  },
  'not-your-session': {
    title: 'This session belongs to somebody else',
    fix: 'Load the page again with your own link.',
  },
  'recording-incomplete': {
    title: 'Not all of this lesson has come to the school yet',
    fix: 'Watch it on the page, or try again later.',
  },
  'recording-missing': {
    title: 'The recording of this lesson was not found',
    fix: 'It may not be finished yet. Try again in a few minutes.',
  },
  'relay-full': {
    title: 'The class’s server has no more places',
    fix: 'The page keeps trying until there is one. If it takes long, please tell the technician.',
  },
  'right-missing': {
    title: 'Your link does not allow this',
    fix: 'Ask the technician for a teacher’s link.',
  },
  'role-not-yours': {
    title: 'Links of this kind are made at the server only',
    fix: 'Please ask the technician.',
  },
  'session-gone': {
    title: 'The former connection is over',
    fix: 'The page reconnects by itself.',
  },
  'school-not-here': {
    title: 'The relay of this school has never connected',
    fix: 'Ask the school to switch it on with its network plugged in, wait a minute, and try again.',
  },
  'school-unknown': {
    title: 'This school has no relay of its own',
    fix: 'Choose another school of the list, or make the link without a school.',
  },
  'session-replaced': {
    title: 'The lesson is being taught on another page',
    fix: 'To teach on this page, press “Teach here”.',
  },
  'stale-etag': {
    title: 'The connection has just changed',
    fix: 'The page reconnects by itself.',
  },
  sdp: {
    title: 'This browser and the server do not understand each other',
    fix: 'Use a recent Chrome, Edge or Firefox. If it stays so, please tell the technician.',
  },
  'unknown-material': {
    title: 'This file is no longer among the materials',
    fix: 'The list has just changed. Look at it again.',
  },
  'unsupported-codecs': {
    title: 'This browser cannot send picture and sound as the server needs them',
    fix: 'Use a recent Chrome, Edge or Firefox.',
  },
  token: {
    title: 'This link can no longer be used',
    fix: 'Ask the technician for a new link, then open it.',
  },
  'wrong-lesson': {
    title: 'This link is for another lesson',
    fix: 'Choose the right lesson, or ask the technician for another link.',
  },
}

export const PROBLEMS: Readonly<Record<Lang, Readonly<Record<string, Words>>>> = { vi, en }

const GENERAL: Readonly<Record<Lang, (code: string) => Words>> = {
  vi: (code) => ({
    title: 'Máy chủ không làm được việc này',
    fix: `Hãy thử lại. Nếu vẫn vậy, hãy báo người phụ trách kỹ thuật mã lỗi “${code}”.`,
  }),
  en: (code) => ({
    title: 'The server could not do this',
    fix: `Try again. If it stays so, tell the technician this code: “${code}”.`,
  }),
}

/** What to tell a person about `problem`. */
export function problemWords(problem: Pick<Problem, 'code' | 'status'>, lang: Lang): Words {
  const { code } = problem
  const family = code.split('-', 1)[0] ?? ''
  const key = [code, family].find((one) => Object.keys(PROBLEMS[lang]).includes(one))
  const found = key === undefined ? undefined : PROBLEMS[lang][key]
  return found ?? GENERAL[lang](code === '' ? String(problem.status) : code)
}
