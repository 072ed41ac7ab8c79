/*
 * The sentences about a lesson's materials in Vietnamese: giving them, and opening them.
 *
 * Apart from the other sentences, since the room page needs none of these until somebody asks for a
 * file. The button that asks is in vi.ts.
 */
export const materialsVi = {
  title: 'Học liệu',
  close: 'Đóng',
  back: 'Về danh sách',
  none: 'Chưa có tệp nào.',
  kinds: {
    picture: 'Hình ảnh',
    pdf: 'PDF',
    film: 'Phim',
    sound: 'Âm thanh',
    text: 'Chữ',
    document: 'Tài liệu',
  },
  loading: (percent: number) => `Đang mở… ${percent} %`,
  onItsWay: 'Tệp đang trên đường về trường',
  onItsWayText: 'Tới nơi là tệp tự hiện lên. Không cần bấm gì.',
  waiting: 'Mạng bị ngắt',
  waitingText: 'Trang tự thử lại. Không cần bấm gì.',
  notShown: 'Máy này không mở được loại tệp này ngay trong trang. Hãy tải về rồi mở.',
  broken: 'Máy này không mở được tệp này. Hãy thử tải về.',
  download: 'Tải về máy',
  listLost: 'Danh sách vừa thay đổi. Hãy đóng rồi mở lại học liệu.',
  teach: {
    text: 'Trang chiếu, hình, phiếu bài tập: gửi trước thì lớp mở được ngay trong giờ, cả khi mạng yếu.',
    over: 'Gửi xong thì tệp có trong thư viện, cùng với bài giảng.',
    others: (count: number) =>
      `Còn ${count} tệp của buổi học khác chưa gửi xong. Nên chờ gửi xong rồi hãy đóng trang.`,
    add: 'Thêm tệp',
    drop: 'Hoặc kéo tệp thả vào đây.',
    kinds: 'PDF, hình, phim MP4, âm thanh, tài liệu Word, PowerPoint, Excel.',
    insecure: 'Muốn thêm tệp, hãy mở trang này bằng đường dẫn bắt đầu bằng https://.',
    slow: (minutes: number) => `Trường có mạng chậm nhận đủ sau khoảng ${minutes} phút.`,
    slowHours: (hours: number) =>
      `Trường có mạng chậm nhận đủ sau khoảng ${hours} giờ. Nên gửi từ hôm trước.`,
    total: (count: number, size: string) => `${count} tệp, ${size}.`,
    reading: 'Đang đọc tệp…',
    queued: 'Chờ đến lượt',
    sending: (percent: number) => `Đang gửi ${percent} %`,
    sendingOf: (name: string) => `Đang gửi ${name}`,
    storing: 'Đã gửi, đang cất…',
    waiting: 'Mạng bị ngắt, trang tự gửi lại.',
    resting: 'Tạm ngừng gửi trong giờ dạy, dạy xong sẽ tự gửi tiếp.',
    added: (name: string) => `Đã thêm ${name}.`,
    same: (name: string) => `${name} đã có trong danh sách.`,
    removed: (name: string) => `Đã bỏ ${name}.`,
    remove: 'Bỏ',
    removeOf: (name: string) => `Bỏ ${name}`,
    removeAsk: (name: string) => `Bỏ “${name}” khỏi buổi học?`,
    removeYes: 'Bỏ tệp',
    removeNo: 'Giữ lại',
    notRemoved: (name: string) => `Chưa bỏ được ${name}.`,
    removeAway: 'Mạng bị ngắt. Khi có mạng, hãy bấm Bỏ lần nữa.',
    stop: 'Thôi, không gửi',
    stopOf: (name: string) => `Thôi, không gửi ${name}`,
    seen: 'Đã hiểu',
    seenOf: (name: string) => `Đã hiểu: ${name}`,
    again: 'Gửi lại',
    againOf: (name: string) => `Gửi lại ${name}`,
    tooLarge: (size: string) =>
      `Mỗi tệp lớn nhất ${size}. Hãy lưu tệp nhỏ hơn, hoặc chia thành nhiều tệp.`,
    unreadable: 'Không đọc được tệp này',
    unreadableFix: 'Tệp có thể vừa bị đổi tên, bị xóa hoặc đang mở. Hãy chọn lại tệp.',
    unsent: (names: string) => `Lần trước chưa gửi xong: ${names}. Hãy thêm lại.`,
    wait: (count: number) => `Còn ${count} tệp chưa gửi xong. Nên chờ gửi xong rồi hãy bắt đầu.`,
    listAway: 'Chưa xem được danh sách học liệu. Trang tự thử lại.',
  },
}

export type MaterialsWords = typeof materialsVi
