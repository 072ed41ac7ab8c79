/*
 * The sentences of the status page in Vietnamese: for a teacher who looks after the machine.
 *
 * Apart from the other pages' sentences, which need not be loaded for these. Names of advice are
 * the relay's; each says what is so and then what to do.
 */
export const statusVi = {
  title: 'Máy chủ lớp học của trường',
  titleOf: (name: string) => `Máy chủ lớp học “${name}”`,
  onlyHere: 'Trang này mở được trên mạng của trường mà không cần đường dẫn.',
  noAnswer: 'Máy chủ lớp học không trả lời',
  noAnswerFix:
    'Hãy xem máy có đang bật và dây mạng có cắm không. Trang tự hỏi lại; số liệu bên dưới là của lần trả lời trước.',
  parent: 'Nối về nơi phát bài',
  parentUp: (host: string, since: string) => `${host}: đang nối, từ ${since}`,
  parentDown: (host: string, since: string) => `${host}: mất liên lạc từ ${since}`,
  centralUp: (host: string) => `Trường trung tâm (${host}): đang nối`,
  centralDown: (host: string) => `Trường trung tâm (${host}): mất liên lạc`,
  rate: (kbps: number) => `tốc độ ${kbps} kbit/s`,
  roundTrip: (ms: number) => `trễ khứ hồi ${ms} ms`,
  loss: (percent: number) => `mất ${percent} %`,
  linkUnknown: 'Chưa đo được đường truyền.',
  live: 'Đang dạy trực tiếp',
  liveText: (lessons: number, rooms: number) =>
    lessons === 0 ? 'Không có bài nào.' : `${lessons} bài, ${rooms} lớp đang xem.`,
  lessons: 'Bài giảng đang giữ',
  lessonsText: (held: number, bytes: string) => `${held} bài, chiếm ${bytes}`,
  space: 'Chỗ trên đĩa',
  free: (bytes: string) => `Còn trống ${bytes}`,
  taken: 'Phần đã dùng cho bài giảng',
  takenText: (percent: number) => `Đã dùng ${percent} % chỗ dành cho bài giảng`,
  sync: 'Tải bài về',
  syncStates: {
    idle: 'Đã đủ, không còn gì phải tải.',
    fetching: 'Đang tải.',
    waiting: 'Đang chờ nơi có bài.',
    live: 'Tạm dừng: đang có bài dạy trực tiếp.',
    window: 'Đang chờ đến giờ được tải.',
    budget: 'Đã tải hết phần của hôm nay.',
    disk: 'Tạm dừng: đĩa không ghi được.',
    import: 'Tạm dừng: đang chép từ ổ USB.',
    starting: 'Đang bắt đầu.',
  },
  left: (lessons: number, bytes: string) => `Còn ${lessons} bài, ${bytes}`,
  finish: (at: string) => `Xong vào khoảng ${at}`,
  power: 'Lần mất điện gần nhất',
  powerNone: 'Chưa có lần nào được ghi lại.',
  powerCut: (at: string | null, back: string) =>
    at === null ? `Không rõ lúc nào; máy chạy lại ${back}` : `${at}; máy chạy lại ${back}`,
  powerKilled: (at: string | null, back: string) =>
    `Không phải mất điện: chương trình bị ngắt${at === null ? '' : ` lúc ${at}`}, chạy lại ${back}`,
  powerMonth: (cuts: number) => `${cuts} lần trong 30 ngày qua`,
  unknown: (name: string) => ({
    title: 'Máy báo một việc mà trang này chưa biết',
    text: `Hãy báo cho trường trung tâm tên của việc đó: “${name}”.`,
  }),
  advice: {
    'media-down': {
      title: 'Phần phát bài trực tiếp không chạy',
      text: 'Nó tự khởi động lại trong vài giây. Nếu một phút sau vẫn vậy, hãy tắt máy đúng cách rồi bật lại.',
    },
    'recorder-down': {
      title: 'Bài đang dạy không được ghi lại',
      text: 'Phần ghi tự khởi động lại trong vài giây. Nếu một phút sau vẫn vậy, hãy tắt máy đúng cách rồi bật lại.',
    },
    'disk-full': {
      title: 'Đĩa đầy hoặc không ghi được',
      text: 'Không ghi và không tải được bài. Hãy xóa những gì không thuộc về lớp học trên đĩa này, hoặc thay đĩa lớn hơn.',
    },
    'code-refused': {
      title: 'Mã đăng ký không dùng được',
      text: 'Hãy gọi trường trung tâm xin mã mới, ghi vào phần cài đặt (code) rồi khởi động lại máy.',
    },
    'taken-back': {
      title: 'Trường trung tâm đã thu hồi đăng ký của máy này',
      text: 'Bài đã có ở đây vẫn xem được. Hãy gọi trường trung tâm xin mã mới, ghi vào cài đặt (dòng code), rồi khởi động lại máy.',
    },
    'wrong-parent': {
      title: 'Địa chỉ nơi phát bài không đúng',
      text: 'Máy ở địa chỉ đó không phát cho máy này được. Hãy hỏi trường trung tâm địa chỉ đúng, ghi vào cài đặt (dòng parents), rồi khởi động lại máy.',
    },
    'not-enrolled': {
      title: 'Máy chưa đăng ký được với trường trung tâm',
      text: 'Hãy xem mạng có vào được không. Máy tự thử lại.',
    },
    'parent-away': {
      title: 'Mất liên lạc với nơi phát bài',
      text: 'Bài đã có ở đây vẫn xem được. Hãy xem đèn và dây của bộ phát mạng. Máy tự nối lại.',
    },
    'central-away': {
      title: 'Mất liên lạc với trường trung tâm',
      text: 'Bài đang dạy và bài đã có vẫn tiếp tục. Hãy xem mạng của máy này và máy chủ của trường trung tâm.',
    },
    'school-away': {
      title: 'Nơi phát bài chưa liên lạc được với trường trung tâm',
      text: 'Ở đây không cần làm gì. Nếu kéo dài, hãy báo cho trường trung tâm.',
    },
    'disk-low': {
      title: 'Đĩa sắp đầy',
      text: 'Hãy xóa những gì không thuộc về lớp học trên đĩa này.',
    },
    'disk-damaged': {
      title: 'Đĩa làm hỏng vài phần của bài giảng',
      text: 'Chúng được tải lại, nhưng đĩa có thể sắp hỏng: hãy chuẩn bị thay đĩa hoặc thẻ nhớ.',
    },
    'materials-no-room': {
      title: 'Không đủ chỗ cho học liệu của bài sắp dạy',
      text: 'Lớp học sẽ thiếu tệp. Hãy tăng phần dành cho học liệu (materials_gb) hoặc xóa bớt trên đĩa, rồi khởi động lại máy.',
    },
    'power-often': {
      title: 'Máy này mất điện nhiều lần',
      text: 'Bài giảng không hỏng, nhưng đĩa sẽ nhanh hỏng. Nên có bộ lưu điện nhỏ, và tắt máy đúng cách, đừng rút điện.',
    },
    'restarts-often': {
      title: 'Chương trình phải khởi động lại nhiều lần',
      text: 'Hãy báo cho trường trung tâm.',
    },
    'clock-wrong': {
      title: 'Đồng hồ của máy sai ngày giờ',
      text: 'Khi có mạng, máy tự chỉnh. Nếu không, máy cần pin đồng hồ mới.',
    },
    'source-rubbish': {
      title: 'Có nơi gửi bài bị hỏng',
      text: 'Phần hỏng không được nhận và được lấy ở nơi khác. Nếu kéo dài, hãy báo cho trường trung tâm.',
    },
    'power-cut': {
      title: 'Máy vừa bị mất điện',
      text: 'Bài giảng đã được kiểm tra và tự sửa. Không cần làm gì.',
    },
    'was-killed': {
      title: 'Chương trình bị ngắt giữa chừng và đã chạy lại',
      text: 'Không cần làm gì.',
    },
    'quota-full': {
      title: 'Chỗ dành cho bài giảng đã đầy',
      text: 'Những bài lâu không có người xem sẽ được bỏ bớt để lấy chỗ, khi cần máy tải lại. Muốn giữ nhiều hơn, hãy tăng phần dành cho bài giảng (quota_gb) hoặc thay đĩa lớn hơn.',
    },
    'all-well': { title: 'Mọi việc đều tốt', text: 'Không cần làm gì.' },
  },
}

export type StatusWords = typeof statusVi
